"""The administrator's half of access: the roles and their passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from shared_lib.processes import Role

_FOLDER = Path(__file__).parent
_SCRAM_ITERATIONS = 4096
# Another deployment on the same server may change the same role at the same moment.
_TRIES, _PAUSE_S = 10, 0.1


def make_roles(admin_url: str, passwords: Mapping[Role, str] | None = None) -> None:
    """Make the roles and give the database to its owner; safe to repeat. Roles without a password here keep theirs.

    The server is given SCRAM verifiers, so no password reaches it or its log.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            with psycopg.connect(admin_url, application_name="boxoffice-roles") as db:
                db.execute((_FOLDER / "roles.sql").read_bytes())
                for role, password in (passwords or {}).items():
                    db.execute(
                        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                            sql.Identifier(role), scram_verifier(password)
                        )
                    )
        except (errors.InternalError_, errors.UniqueViolation):  # "tuple concurrently updated"
            if not tries_left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password (RFC 5802, RFC 7677). ASCII only: nothing to normalize."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_, stored_, server_ = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt_}${stored_}:{server_}"


def as_role(url: str, role: Role, password: str = "") -> str:
    """The same database under another role."""
    parts = urlsplit(url)
    user = f"{role}:{quote(password, safe='')}" if password else str(role)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))
