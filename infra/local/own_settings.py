"""Settings of your own for the local stack: BOXOFFICE_* of the environment, before those of the file .env.

The stack connects its parts itself, so that settings that name a part (WIRED) keep the stack's values. All others are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from infra.local.processes import StackError
from shared_lib.settings import Settings, WrongSettingsError, read_settings

PREFIX: Final = "BOXOFFICE_"
ORIGINS: Final = "BOXOFFICE_RETURN_URL_ORIGINS"
# Addresses and secrets of the stack's own parts, and what follows from them.
WIRED: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("DATABASE_URL", "REDIS_URL", "REPLY_SECRETS", "SECRETS_DIR", "DRAIN_S", "ENVIRONMENT"),
        *("AUTH_JWKS_URL", "AUTH_ISSUER", "AUTH_AUDIENCE"),
        *("SANDBOX_URL", "SANDBOX_API_KEY", "SANDBOX_WEBHOOK_SECRETS"),
        *("EVENT_ROUTES", "EVENT_SECRETS", "SES_ENDPOINT_URL", "SES_REGION"),
        *("EVENT_OIDC_ISSUER", "EVENT_OIDC_JWKS_URL", "EVENT_OIDC_AUDIENCE", "EVENT_OIDC_SUBJECTS"),
        *("KAFKA_BOOTSTRAP", "KAFKA_SECURITY", "KAFKA_CA_FILE", "KAFKA_SASL_MECHANISM", "KAFKA_USERNAME"),
        *("KAFKA_PASSWORD", "TRIGGER_TOPICS", "TRIGGER_GROUP", "TRIGGER_INSTANCE", "TRIGGER_PORT"),
    )
)
# Of other commands: the port of `make up_all`, the broker of tests.
_OF_OTHERS: Final = frozenset({"BOXOFFICE_PORT", "BOXOFFICE_KAFKA"})
SERVERS: Final = ("DATABASE_URL", "REDIS_URL")
"""They replace the embedded servers, from the environment or the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSettings:
    """`used` by name; `notes` say on one line each what was not used and why."""

    used: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def own_settings(file: Path, environment: Mapping[str, str]) -> OwnSettings:
    """The settings that are not empty. `file` may be missing; StackError when it cannot be read."""
    given = _of(file) | {name: value for name, value in environment.items() if value}
    given = {name: value for name, value in given.items() if name.startswith(PREFIX)}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in given if name not in known | _OF_OTHERS)
    wired = sorted(given.keys() & WIRED)
    notes = [_unknown(name, known) for name in unknown]
    if wired:
        rest = f" and {len(wired) - 2} more" if len(wired) > 2 else ""
        notes.append(f"Not used, because the stack has its own: {', '.join(wired[:2])}{rest}")
    used = {name: value for name, value in given.items() if name in known - WIRED}
    return OwnSettings(used=used, notes=tuple(notes))


def servers_of(file: Path) -> None:
    """Take DATABASE_URL and REDIS_URL of the file into the environment, where they are not set yet."""
    for name, value in _of(file).items():
        if name in SERVERS:
            os.environ.setdefault(name, value)


def with_origins(gateway: str, own: str) -> str:
    """The gateway's origin and those of your own, as a comma list without repetitions."""
    return ",".join(dict.fromkeys([gateway, *(word.strip() for word in own.split(",") if word.strip())]))


def refuse_wrong(settings: Mapping[str, str]) -> None:
    """StackError names what is wrong with these settings, before any process is started with them."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        read_settings()
    except WrongSettingsError as error:
        raise StackError(
            f"{error}\nCorrect it in .env or in the environment; .env.example describes each."
        ) from None
    finally:
        os.environ.clear()
        os.environ.update(before)


def _of(file: Path) -> dict[str, str]:
    try:
        found = dotenv_values(file, interpolate=False) if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{file} cannot be read: {error}") from error
    return {name: value for name, value in found.items() if value}


def _unknown(name: str, known: set[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.8)
    return f"{name} is no setting" + (f"; did you mean {close[0]}?" if close else "; .env.example lists them")
