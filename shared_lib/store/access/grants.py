"""The owner's half of access: privileges, applied after each migration."""

from __future__ import annotations

from pathlib import Path

import psycopg

from shared_lib.processes import Role

_FOLDER = Path(__file__).parent


class MissingRolesError(RuntimeError):
    """The server lacks roles that the grants name; the text says which, and how they are made."""


def apply_grants(url: str, *, test_clock: bool) -> None:
    """Make the privileges what grants.sql says, all at once. `test_clock`: the operator may move it; never in production.

    Run it as the owner of the tables. Raises MissingRolesError.
    """
    with psycopg.connect(url, application_name="boxoffice-grants") as db:
        found = db.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(Role)]).fetchall()
        if missing := sorted(set(Role) - {row[0] for row in found}):
            raise MissingRolesError(
                f"these database roles are missing: {', '.join(missing)}."
                " An administrator makes them with python -m shared_lib.store.access"
            )
        for name in ("grants.sql", *(["test_clock.sql"] if test_clock else [])):
            db.execute((_FOLDER / name).read_bytes())
