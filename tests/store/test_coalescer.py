"""Nobody who hands an item to the coalescer waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.transaction import Transaction
from tests.patience import PATIENCE_S


async def count(tx: Transaction, items: Sequence[int]) -> list[int]:
    await tx.fetch("SELECT 1")
    return list(items)


async def test_an_item_that_comes_just_as_the_last_writer_ends_is_committed(database_url: str) -> None:
    pool = connection_pool(database_url, connections_max=2)
    await pool.open()
    try:
        batcher = Batcher(pool, writers=1)
        async with asyncio.timeout(PATIENCE_S):
            # Whoever is woken by an answer asks again before the loop has told anybody that the writer has ended.
            assert [await batcher.run(count, n) for n in range(20)] == list(range(20))
    finally:
        await pool.close()
