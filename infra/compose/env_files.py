"""The secrets of a stack in containers: made on the first run, kept in .local/compose, each part gets its own alone.

Standard library only: whoever has Docker need not have our virtualenv.
"""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / ".local" / "compose"

# Who hands events to the doors, and the doors that take them.
EVENTS: Final = "events.env"


def make(folder: Path = FOLDER) -> bool:
    """Write the env files unless all are there. True when they are new: a database of older ones will not let us in."""
    password, api_key = secrets.token_hex(24), "sk_sandbox_" + secrets.token_hex(16)
    webhook_secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    files: dict[str, dict[str, str]] = {
        "postgres.env": {"POSTGRES_PASSWORD": password},
        "sandbox.env": {"SANDBOX_API_KEY": api_key, "SANDBOX_WEBHOOK_SECRET": webhook_secret},
        "boxoffice.env": {
            "BOXOFFICE_DATABASE_URL": f"postgresql://boxoffice:{password}@postgres:5432/boxoffice",
            "BOXOFFICE_SANDBOX_API_KEY": api_key,
            "BOXOFFICE_SANDBOX_WEBHOOK_SECRETS": webhook_secret,
        },
    }
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / EVENTS).exists():  # on its own: a folder of an older version lacks it
        secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        _write(folder / EVENTS, {"BOXOFFICE_EVENT_SECRETS": secret})
    if all((folder / name).exists() for name in files):
        return False
    for name, values in files.items():
        _write(folder / name, values)
    return True


def _write(path: Path, values: Mapping[str, str]) -> None:
    """Whole or not at all, readable by its owner alone."""
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    draft.replace(path)
