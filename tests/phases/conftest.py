from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from infra.local.catalog import seed
from tests.phases.ground import Ground


@pytest.fixture
async def ground(database_url: str) -> AsyncIterator[Ground]:
    seed(database_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield Ground(connection)
