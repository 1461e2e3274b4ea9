from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from infra.local.catalog import seed
from tests.phases.runner import PhaseRunner


@pytest.fixture
async def phases(database_url: str) -> AsyncIterator[PhaseRunner]:
    seed(database_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield PhaseRunner(connection)
