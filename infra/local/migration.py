"""Draft the next migration from the difference between tables and migrations, on a temporary server."""

from __future__ import annotations

import sys

from infra.servers.access import prepare
from infra.servers.postgres import temporary_postgres
from shared_lib.store.migrate import revision


def main(message: str) -> None:
    """Write the draft into shared_lib/store/migrations/versions."""
    with temporary_postgres() as server:
        prepare(server.url())
        revision(server.url(), message)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
