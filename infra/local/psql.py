"""Open psql on DATABASE_URL, or on the database of the running local stack.

On the local stack as boxoffice_support, which reads everything and changes nothing; ROLE=owner, door, relay or operator
chooses another role.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infra.local.home import Home
from infra.local.own_settings import servers_of
from infra.servers.access import role_url
from infra.servers.binaries import installation
from infra.servers.postgres import running_url
from shared_lib.processes import Role

HOME = Path(".local")
DBNAME = "boxoffice"


def main(arguments: list[str]) -> None:
    """Replace this process by psql. Exits 1 when there is no database."""
    servers_of(Path(".env"))
    url = os.environ.get("DATABASE_URL") or _of_the_stack(os.environ.get("ROLE") or "support")
    if url is None:
        sys.exit("No database: start the local stack (make up) or set DATABASE_URL.")
    psql = installation(None) / "bin" / "psql"
    os.execv(psql, [str(psql), url, *arguments])


def _of_the_stack(role: str) -> str | None:
    if role.upper() not in Role.__members__:
        sys.exit(f"ROLE={role!r} is not one of {', '.join(name.lower() for name in Role.__members__)}.")
    if running_url(HOME / "postgres", DBNAME) is None:
        return None
    url = running_url(HOME / "postgres", DBNAME, Home(HOME).secrets().database_password)
    return url and role_url(url, Role[role.upper()])


if __name__ == "__main__":
    main(sys.argv[1:])
