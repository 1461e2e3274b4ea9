"""make reset: the stack's data are deleted, and the next start has new ones and today's date.

Ports, secrets and the keys of the Auth stand-in stay: a frontend's configuration and its tokens remain valid.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

from infra.local.console import Console
from infra.local.home import Home
from infra.local.own_settings import SERVERS
from infra.local.processes import StackError
from infra.servers.postgres import EmbeddedPostgres, end_orphan

# The test clock is a row of the database; the provider keeps a clock and books of its own.
# PostgreSQL's may be elsewhere (EmbeddedPostgres.data_dir), and in this folder those of another user.
FOLDERS: Final = ("postgres", "sandbox", "logs")
FILES: Final = ("settings.env", "running.json")


def reset(home: Home, console: Console) -> None:
    """StackError while a stack runs on the folder: it would write into what is being deleted."""
    if not home.folder.exists():
        console.say("There is nothing to delete yet. Start with: make up")
        return
    if not home.hold():
        raise StackError("The stack runs. Stop it with Ctrl-C where it was started, then: make reset")
    server = EmbeddedPostgres(home.folder / "postgres")
    end_orphan(server.data_dir)
    shutil.rmtree(server.data_dir, ignore_errors=True)
    for name in FOLDERS:
        shutil.rmtree(home.folder / name, ignore_errors=True)
    for name in FILES:
        (home.folder / name).unlink(missing_ok=True)
    console.say(
        "Deleted: orders, customers, the provider's books, mails, logs, and the moved clock. Start again: make up"
    )
    for name in SERVERS:
        if os.environ.get(name):
            console.warn(f"{name} names a server of your own: its data are still there.")
