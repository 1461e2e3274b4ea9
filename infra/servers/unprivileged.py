"""PostgreSQL refuses to run as root, and continuous integration and containers often are root."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from pathlib import Path

from infra.servers.leash import Owner

UNPRIVILEGED_USER = "nobody"
STATE_HOME = Path("/var/lib/boxoffice")


def server_owner() -> Owner | None:
    """Return the user `nobody` when we are root, and None otherwise: the server then runs as our own user."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    return Owner(user.pw_uid, user.pw_gid)


def reachable_folder(wanted: Path, owner: Owner | None) -> Path:
    """Return `wanted`, or a folder of its own under /var/lib/boxoffice when `owner` cannot walk there.

    Other users cannot reach a clone under /root. The same `wanted` always leads to the same folder.
    """
    nearest = next(parent for parent in wanted.parents if parent.exists())
    if owner is None or may(owner, "-x", nearest):
        return wanted
    STATE_HOME.mkdir(mode=0o711, parents=True, exist_ok=True)
    STATE_HOME.chmod(0o711)
    return STATE_HOME / hashlib.sha256(bytes(wanted)).hexdigest()[:16]


def may(owner: Owner, test: str, path: Path) -> bool:
    """Ask the kernel, as `owner`, whether `test` ("-x", "-r") holds for `path`: it considers ACLs and mounts."""
    verdict = subprocess.run(
        ["/usr/bin/test", test, str(path)],
        user=owner.uid,
        group=owner.gid,
        extra_groups=[],
        check=False,
        cwd="/",
    )
    return verdict.returncode == 0
