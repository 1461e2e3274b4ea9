"""Each caller who hands an item to the coalescer gets an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.servers.ports import free_port
from shared_lib.domain.errors import Transient
from shared_lib.store.batch import BATCH_MAX, GATHER_TURNS, Batcher, connection_pool
from shared_lib.store.blocked import Sorting, Waiting
from shared_lib.store.transaction import Transaction
from tests.kit.tasks import Planted, stop_tasks
from tests.kit.waiting import PATIENCE_S


async def count(tx: Transaction, items: Sequence[int]) -> list[int]:
    await tx.fetch("SELECT 1")
    return list(items)


async def test_an_item_that_comes_just_as_the_last_writer_ends_is_committed(database_url: str) -> None:
    pool = connection_pool(database_url, connections_max=2)
    await pool.open()
    try:
        batcher = Batcher(pool, writers=1)
        async with asyncio.timeout(PATIENCE_S):
            # A caller that is woken by an answer asks again before the loop has run what waits for the writer's end.
            assert [await batcher.run(count, n) for n in range(20)] == list(range(20))
    finally:
        await pool.close()


async def test_items_that_come_within_a_few_turns_of_the_loop_are_one_batch_and_more_than_fit_are_served_at_once(
    database_url: str,
) -> None:
    batches: list[int] = []

    async def counted(tx: Transaction, items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        return await count(tx, items)

    async def come(batcher: Batcher, n: int, turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await batcher.run(counted, n)

    pool = connection_pool(database_url, connections_max=4)
    await pool.open()
    try:
        batcher = Batcher(pool, writers=2)
        async with asyncio.timeout(PATIENCE_S):
            came = [come(batcher, n, turns=n % GATHER_TURNS) for n in range(12)]
            assert await asyncio.gather(*came) == list(range(12))
            assert batches == [12]

            batches.clear()
            came = [come(batcher, n, turns=0) for n in range(BATCH_MAX + 1)]
            assert await asyncio.gather(*came) == list(range(BATCH_MAX + 1))
            assert sorted(batches) == [1, BATCH_MAX]
    finally:
        await pool.close()


async def test_while_the_database_is_away_those_who_wait_behind_others_wait_no_second_time() -> None:
    wait_s, batches = 4.0, 4
    pool = connection_pool(f"postgresql://127.0.0.1:{free_port()}/none", connections_max=2, timeout_s=wait_s)
    await pool.open(wait=False)
    try:
        batcher = Batcher(pool, writers=1)
        async with asyncio.timeout(PATIENCE_S):
            came = [batcher.run(count, n) for n in range((batches - 1) * BATCH_MAX + 1)]
            answers = await asyncio.gather(*came, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Transient}
        stats = pool.get_stats()
        assert stats["requests_errors"] >= batches
        # The pool's own count of what was waited for connections: one wait, and a last moment for each further batch.
        assert stats["requests_wait_ms"] < 1000 * 2 * wait_s
    finally:
        await pool.close()


async def test_when_a_writer_dies_all_who_wait_for_it_are_answered_and_the_next_caller_is_served(
    database_url: str,
) -> None:
    """By an exception that no phase may raise, and by being stopped before its first step."""
    died = False

    async def dies_once(tx: Transaction, items: Sequence[int]) -> list[int]:
        nonlocal died
        if not died:
            died = True
            raise Planted
        return await count(tx, items)

    pool = connection_pool(database_url, connections_max=2)
    await pool.open()
    try:
        batcher = Batcher(pool, writers=1)
        async with asyncio.timeout(PATIENCE_S):
            came = [batcher.run(dies_once, n) for n in range(2 * BATCH_MAX + 1)]
            answers = await asyncio.gather(*came, return_exceptions=True)
            assert {type(answer) for answer in answers} == {Transient}
            assert await batcher.run(dies_once, 7) == 7

            waiting = asyncio.create_task(batcher.run(count, 1))
            await asyncio.sleep(0)
            assert stop_tasks("drain") == 1
            with pytest.raises(Transient):
                await waiting
            assert await batcher.run(count, 8) == 8
    finally:
        await pool.close()


async def test_when_sorting_out_dies_the_blocked_are_answered() -> None:
    async def dies(phase: object, batch: Sequence[Waiting], lock_wait_s: float) -> list[Waiting]:
        raise Planted

    loop = asyncio.get_running_loop()
    batch = [Waiting(n, loop.create_future(), loop.time()) for n in range(4)]
    sorting = Sorting(dies, writers=2)
    async with asyncio.timeout(PATIENCE_S):
        sorting.start(count, batch)
        answers = await asyncio.gather(*(it.answer for it in batch), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Transient}
