"""Open psql on DATABASE_URL, or on the database of the running local stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infra.local.binaries import installation
from infra.local.postgres import running_url

DATA_DIR = Path(".local/postgres")
DBNAME = "boxoffice"


def main(arguments: list[str]) -> None:
    """Become psql. Exits 1 when there is no database to talk to."""
    url = os.environ.get("DATABASE_URL") or running_url(DATA_DIR, DBNAME)
    if url is None:
        sys.exit("No database: start the local stack (make up) or set DATABASE_URL.")
    psql = installation(None) / "bin" / "psql"
    os.execv(psql, [str(psql), url, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
