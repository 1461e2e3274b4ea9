"""make cli: the operator's command line on the running stack, with the settings that it keeps in its folder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from infra.local.home import NOT_RUNNING, Home
from shared_lib.processes import DATABASE

# They ask no stack.
_ALONE: Final = frozenset({"--help", "--install-completion", "--show-completion"})


def cli(home: Home, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `boxoffice`; exit 1 when it would ask a stack, none runs, and the environment names no database."""
    asks_a_stack = bool(arguments) and arguments[0] != "new" and _ALONE.isdisjoint(arguments)
    if home.found():
        for line in shlex.split((home.folder / "settings.env").read_text()):
            name, _, value = line.partition("=")
            os.environ[name] = value
    elif asks_a_stack and not os.environ.get(DATABASE):
        sys.exit(NOT_RUNNING)
    os.execv(sys.executable, [sys.executable, "-m", "shared_lib.cli.main", *arguments])
