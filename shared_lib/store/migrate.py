"""Bring a database to the newest schema: `python -m shared_lib.store.migrate`, or `upgrade(url)`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool, text

_MIGRATIONS = Path(__file__).with_name("migrations")
# Two deployments may migrate at once; one waits for the other. The number is the lock's name.
_LOCK = 7_263_001


def upgrade(url: str) -> None:
    """Apply what is missing. Safe to run at every start and from several places at once."""
    engine = create_engine(_sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as guard:
        guard.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        guard.commit()
        command.upgrade(_config(url), "head")


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
    target = os.environ["BOXOFFICE_DATABASE_URL"]
    if len(sys.argv) > 1:
        revision(target, " ".join(sys.argv[1:]))
    else:
        upgrade(target)
