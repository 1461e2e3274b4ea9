"""Bring a database to the newest schema, then apply the grants: `python -m shared_lib.store.migrate`, or `upgrade(url)`.

Run it as boxoffice_owner: tables belong to the role that creates them, and no grant binds their owner.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool, text

from shared_lib.addresses import database_address
from shared_lib.settings import Environment, Settings, WrongSettingsError, take_mounted
from shared_lib.store.access import MissingRolesError, apply_grants

_MIGRATIONS = Path(__file__).with_name("migrations")
# Two deployments may migrate at once; one waits for the other. The number is the lock's name.
_LOCK = 7_263_001


def upgrade(url: str, *, test_clock: bool = False) -> None:
    """Apply what is missing, and every grant. Safe to run at every start and from several places at once.

    `test_clock`: the operator may move the test clock; False in production. Raises MissingRolesError.
    """
    engine = create_engine(_sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as guard:
        guard.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        guard.commit()
        command.upgrade(_config(url), "head")
        apply_grants(url, test_clock=test_clock)


def revision(url: str, message: str) -> None:
    """Write the next migration from the difference between the tables and the database."""
    command.revision(_config(url), message, autogenerate=True)


def differences(url: str) -> list[object]:
    """Where the tables and a migrated database disagree; empty when they do not."""
    from shared_lib.store.tables import metadata  # noqa: PLC0415  # slow to import, and upgrade() does without

    engine = create_engine(_sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = _sqlalchemy_url(url)
    return config


def _sqlalchemy_url(url: str) -> str:
    return "postgresql+psycopg://" + url.split("://", 1)[1]


if __name__ == "__main__":
    try:
        take_mounted("migrate")
    except WrongSettingsError as unreadable:
        sys.exit(str(unreadable))
    target = os.environ.get("BOXOFFICE_DATABASE_URL") or sys.exit(
        "migrate needs BOXOFFICE_DATABASE_URL: see docs/roles.md"
    )
    try:
        database_address(target)
    except ValueError as wrong:
        sys.exit(f"BOXOFFICE_DATABASE_URL: {wrong}")
    if len(sys.argv) > 1:
        revision(target, " ".join(sys.argv[1:]))
    else:
        named = os.environ.get("BOXOFFICE_ENVIRONMENT") or Settings.model_fields["environment"].default
        try:
            upgrade(target, test_clock=named != Environment.PRODUCTION)
        except MissingRolesError as error:
            sys.exit(f"The schema is up to date, but no privileges were granted: {error}")
