"""Migrations may be plain SQL, for those who want to read the schema as SQL."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_VERSIONS = Path(__file__).with_name("versions")


def run(name: str) -> None:
    """Execute `versions/<name>` as it stands."""
    op.get_bind().exec_driver_sql((_VERSIONS / name).read_text().replace("%", "%%"))
