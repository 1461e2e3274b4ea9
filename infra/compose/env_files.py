"""The secrets of the stack in containers: made on the first run, kept in .local/compose, one file per kind.

docker-compose.yml gives each container the files of its list in shared_lib/processes.py, and no others. Standard library only,
so that Docker is enough, without the virtualenv.
"""

from __future__ import annotations

import json
import os
import secrets
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.servers.redis_access import USER, rules
from shared_lib.processes import DATABASE, VARIABLES, Role, Secret

FOLDER: Final = Path(__file__).parents[2] / ".local" / "compose"
KEPT: Final = "secrets.json"
REDIS_ACL: Final = "redis.acl"
# Secrets of older versions, and their files.
_LEGACY: Final = {
    "POSTGRES_PASSWORD": "postgres.env",
    "SANDBOX_API_KEY": "sandbox.env",
    "SANDBOX_WEBHOOK_SECRET": "sandbox.env",
    "BOXOFFICE_EVENT_SECRETS": "events.env",
}


def env_file(kind: Secret | Role) -> str:
    """The file of a kind of secret, or of a role's database url."""
    return f"{kind.removeprefix('boxoffice_')}.env"


def make(folder: Path = FOLDER) -> bool:
    """Write the files, with new secrets where there are none yet. True when the database's password is new: an existing
    database would refuse it.
    """
    held, is_new = keep(folder)
    for name, variables in values(held).items():
        _write(folder / name, "".join(f"{key}={value}\n" for key, value in variables.items()))
    # Not secret: it holds only the SHA-256 of random passwords. Redis runs as a user of its own and must read it.
    _write(folder / REDIS_ACL, redis_acl(held), mode=0o644)
    return is_new


def keep(folder: Path) -> tuple[dict[str, str], bool]:
    """The secrets of the folder, with missing ones made now; True when the database's password is new."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _kept(folder)
    held = _fresh() | kept
    _write(folder / KEPT, json.dumps(held, indent=2) + "\n")
    return held, "POSTGRES_PASSWORD" not in kept


def redis_acl(held: Mapping[str, str]) -> str:
    """The ACL file of Redis, one rule per line."""
    return "".join(f"user {' '.join(rule)}\n" for rule in rules(held["REDIS_PASSWORD"]))


def _fresh() -> dict[str, str]:
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "SANDBOX_API_KEY": "sk_sandbox_" + secrets.token_hex(16),
        "SANDBOX_WEBHOOK_SECRET": _signing_secret(),
        "REDIS_PASSWORD": secrets.token_hex(24),
        "REPLY_SECRET": secrets.token_hex(32),
        "CARD_PEPPER": secrets.token_hex(32),
        "BOXOFFICE_EVENT_SECRETS": _signing_secret(),
        **{_password(role): secrets.token_hex(24) for role in Role},
    }


def values(held: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The environment variables of each kind of secret, by the name of its file."""

    def database(user: str, password: str) -> str:
        return f"postgresql://{user}:{password}@postgres:5432/boxoffice"

    variables = {
        "BOXOFFICE_SANDBOX_API_KEY": held["SANDBOX_API_KEY"],
        "BOXOFFICE_SANDBOX_WEBHOOK_SECRETS": held["SANDBOX_WEBHOOK_SECRET"],
        "BOXOFFICE_REDIS_URL": f"redis://{USER}:{held['REDIS_PASSWORD']}@redis:6379/0",
        "BOXOFFICE_REPLY_SECRETS": held["REPLY_SECRET"],
        "BOXOFFICE_CARD_PEPPER": held["CARD_PEPPER"],
        "BOXOFFICE_EVENT_SECRETS": held["BOXOFFICE_EVENT_SECRETS"],
        "AWS_ACCESS_KEY_ID": "any-id-for-moto",
        "AWS_SECRET_ACCESS_KEY": "any-key-for-moto",
    }
    return {
        "postgres.env": {"POSTGRES_PASSWORD": held["POSTGRES_PASSWORD"]},
        "sandbox.env": {name: held[name] for name in ("SANDBOX_API_KEY", "SANDBOX_WEBHOOK_SECRET")},
        "admin.env": {
            "BOXOFFICE_ADMIN_DATABASE_URL": database("boxoffice", held["POSTGRES_PASSWORD"]),
            **{_password(role): held[_password(role)] for role in Role},
        },
        **{env_file(role): {DATABASE: database(role, held[_password(role)])} for role in Role},
        **{
            env_file(secret): {name: variables[name] for name in VARIABLES[secret]}
            for secret in Secret
            if secret is not Secret.KAFKA  # Kafka asks for no password here
        },
    }


def _password(role: Role) -> str:
    """As `python -m shared_lib.store.access` reads it."""
    return f"BOXOFFICE_{role.name}_PASSWORD"


def _signing_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def _kept(folder: Path) -> dict[str, str]:
    if (folder / KEPT).exists():
        found: dict[str, str] = json.loads((folder / KEPT).read_text())
        return found
    lines = [
        line.partition("=")
        for name in set(_LEGACY.values())
        if (folder / name).exists()
        for line in (folder / name).read_text().splitlines()
    ]
    (folder / "boxoffice.env").unlink(missing_ok=True)  # held every secret for every container
    return {key: value for key, _, value in lines if key in _LEGACY}


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a complete file or none, by default readable by its owner alone."""
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    draft.chmod(mode)
    draft.replace(path)
