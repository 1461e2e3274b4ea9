"""A password for an embedded PostgreSQL whose data may be older than the password."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from infra.servers.leash import Owner, spawn
from shared_lib.store.access.roles import scram_verifier

TIMEOUT_S = 60.0


def require_passwords(
    data_dir: Path,
    program: Path,
    *,
    superuser: str,
    password: str,
    owner: Owner | None,
    env: Mapping[str, str],
) -> None:
    """From the next start on, every connection needs a role and its password; the superuser's is `password`.

    A no-op when this password is already required. The server must not run: the password is set in single-user mode, which
    asks for none. Raises RuntimeError when PostgreSQL refuses it.
    """
    file = data_dir / "pg_hba.conf"
    text = (
        f"# Written by infra.local for password {hashlib.sha256(password.encode()).hexdigest()[:12]}\n"
        "local all all scram-sha-256\n"
        "host all all 127.0.0.1/32 scram-sha-256\n"
    )
    if file.read_text() == text:
        return
    with tempfile.TemporaryFile() as output:
        process = spawn(
            [program, "--single", "-D", data_dir, "postgres"],
            output=output, owner=owner, env=env, cwd=Path("/"), stdin=subprocess.PIPE,
        )  # fmt: skip
        process.communicate(
            f"ALTER ROLE {superuser} PASSWORD '{scram_verifier(password)}';\n".encode(), timeout=TIMEOUT_S
        )
        output.seek(0)
        written = output.read().decode(errors="replace")
    if process.returncode or "ERROR" in written:
        raise RuntimeError(f"the superuser's password could not be set:\n{written}")
    file.write_text(text)
