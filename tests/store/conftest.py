from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.store.box import Box


@pytest.fixture
def box(database_url: str) -> Iterator[Box]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Box(connection)
