"""What Boxoffice may do in Redis: a user with a password, the commands of shared_lib/store/replay.py, and its own keys.

Standard library only, because infra.compose imports it too.
"""

from __future__ import annotations

import hashlib
from typing import Final

USER: Final = "boxoffice"
KEYS: Final = "~boxoffice:*"
# Client libraries also send CLIENT SETINFO, and continue when it is refused.
COMMANDS: Final = ("get", "getrange", "set", "del", "eval", "ping", "select")


def rules(password: str) -> list[list[str]]:
    """ACL rules, one per user. They hold the SHA-256 of the password, which is random and cannot be guessed from it.

    Without a name and password a client may only PING, which is what a health check does.
    """
    digest = "#" + hashlib.sha256(password.encode()).hexdigest()
    return [
        ["default", "reset", "on", "nopass", "-@all", "+ping"],
        [USER, "reset", "on", digest, KEYS, "-@all", *(f"+{command}" for command in COMMANDS)],
    ]
