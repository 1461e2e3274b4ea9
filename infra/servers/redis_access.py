"""What Boxoffice may do in Redis: a user with a password, the commands of shared_lib/store/replay.py, and its own keys.

Standard library only: the stack in containers reads it too.
"""

from __future__ import annotations

import hashlib
from typing import Final

USER: Final = "boxoffice"
KEYS: Final = "~boxoffice:*"
# Client libraries also say who they are (CLIENT SETINFO), and go on when that is refused.
COMMANDS: Final = ("get", "getrange", "set", "del", "eval", "ping", "select")


def rules(password: str) -> list[list[str]]:
    """ACL rules, a user each. The password stands there as its SHA-256: made at random, it cannot be guessed from that.

    Without a name and password one may PING, which is what a health check does.
    """
    digest = "#" + hashlib.sha256(password.encode()).hexdigest()
    return [
        ["default", "reset", "on", "nopass", "-@all", "+ping"],
        [USER, "reset", "on", digest, KEYS, "-@all", *(f"+{command}" for command in COMMANDS)],
    ]
