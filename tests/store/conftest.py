from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.store.row_writer import RowWriter


@pytest.fixture
def writer(database_url: str) -> Iterator[RowWriter]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield RowWriter(connection)
