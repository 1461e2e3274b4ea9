"""The coalescer on a real table: one bad item fails alone, and lost races are run again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import errors

from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.transaction import Transaction

TABLE = """
    CREATE TABLE numbers (n int PRIMARY KEY CHECK (n <> 13), twin int UNIQUE);
    CREATE TABLE totals (name text PRIMARY KEY, total int NOT NULL);
    INSERT INTO totals VALUES ('a', 0), ('b', 0);
"""
Phase = Callable[[Transaction, Sequence[int]], Awaitable[Sequence[int]]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Batcher]:
    pool = connection_pool(url, connections_max=2)
    await pool.open()
    try:
        yield Batcher(pool, writers=2)
    finally:
        await pool.close()


@pytest.fixture
def numbers_url(empty_database_url: str) -> str:
    with psycopg.connect(empty_database_url, autocommit=True) as db:
        db.execute(TABLE)
        db.execute("CREATE FUNCTION boxoffice_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'")
    return empty_database_url


def stored(url: str, sql: str = "SELECT n FROM numbers ORDER BY n") -> list[int]:
    with psycopg.connect(url) as db:
        return [row[0] for row in db.execute(sql).fetchall()]


async def keep_now(tx: Transaction, numbers: Sequence[int]) -> list[int]:
    """The database refuses while the phase still asks."""
    await tx.fetch("INSERT INTO numbers (n) SELECT * FROM unnest(%s::int[]) RETURNING n", [list(numbers)])
    return list(numbers)


async def keep_later(tx: Transaction, numbers: Sequence[int]) -> list[int]:
    """The database refuses what was put off to the commit."""
    tx.later("INSERT INTO numbers (n) SELECT * FROM unnest(%s::int[])", [list(numbers)])
    return list(numbers)


@pytest.mark.parametrize("phase", [keep_now, keep_later])
async def test_an_item_the_database_refuses_does_not_fail_its_neighbors(
    numbers_url: str, phase: Phase
) -> None:
    async with opened(numbers_url) as batcher:
        wanted = range(100)
        answers = await asyncio.gather(*(batcher.run(phase, n) for n in wanted), return_exceptions=True)
    for n, answer in zip(wanted, answers, strict=True):
        assert isinstance(answer, errors.CheckViolation) if n == 13 else answer == n
    assert stored(numbers_url) == [n for n in wanted if n != 13]


@pytest.mark.parametrize("phase", [keep_now, keep_later])
async def test_an_item_that_is_there_already_does_not_fail_its_neighbors(
    numbers_url: str, phase: Phase
) -> None:
    with psycopg.connect(numbers_url) as db:
        db.execute("INSERT INTO numbers VALUES (7)")
    async with opened(numbers_url) as batcher:
        answers = await asyncio.gather(*(batcher.run(phase, n) for n in range(12)), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [7]
    assert isinstance(answers[7], errors.UniqueViolation)
    assert stored(numbers_url) == list(range(12))


async def test_an_item_that_breaks_the_phase_itself_does_not_fail_its_neighbors(numbers_url: str) -> None:
    async def divide(tx: Transaction, numbers: Sequence[int]) -> list[int]:
        tx.later("INSERT INTO numbers (n) SELECT * FROM unnest(%s::int[])", [list(numbers)])
        return [100 // n for n in numbers]

    async with opened(numbers_url) as batcher:
        answers = await asyncio.gather(*(batcher.run(divide, n) for n in range(8)), return_exceptions=True)
    assert isinstance(answers[0], ZeroDivisionError)
    assert answers[1:] == [100 // n for n in range(1, 8)]
    assert stored(numbers_url) == list(range(1, 8))


async def test_a_real_deadlock_is_run_again_and_both_sides_commit(numbers_url: str) -> None:
    both_hold_one = asyncio.Barrier(2)
    tries = 0

    async def add(tx: Transaction, names: Sequence[str]) -> list[None]:
        nonlocal tries
        tries += 1
        first_round = tries <= 2
        for name in names[0].split():
            await tx.fetch("UPDATE totals SET total = total + 1 WHERE name = %s RETURNING 1", [name])
            if first_round and name == names[0].split()[0]:
                await both_hold_one.wait()
        return [None] * len(names)

    # The lock time out would end it before PostgreSQL looks for deadlocks (after a second).
    patient = f"{numbers_url}?options=-c%20lock_timeout%3D0"
    async with opened(patient) as one, opened(patient) as other:
        await asyncio.gather(one.run(add, "a b"), other.run(add, "b a"))
    assert tries == 3
    assert stored(numbers_url, "SELECT total FROM totals ORDER BY name") == [2, 2]


async def test_a_real_serialization_failure_is_run_again_and_both_sides_count(numbers_url: str) -> None:
    both_have_read = asyncio.Barrier(2)
    tries = 0

    async def add_what_was_read(tx: Transaction, names: Sequence[str]) -> list[None]:
        nonlocal tries
        tries += 1
        first_round = tries <= 2
        rows = await tx.fetch("SELECT total FROM totals WHERE name = %s", [names[0]])
        if first_round:
            await both_have_read.wait()
        tx.later("UPDATE totals SET total = %s WHERE name = %s", [rows[0][0] + 1, names[0]])
        return [None] * len(names)

    serializable = f"{numbers_url}?options=-c%20default_transaction_isolation%3Dserializable"
    async with opened(serializable) as one, opened(serializable) as other:
        await asyncio.gather(one.run(add_what_was_read, "a"), other.run(add_what_was_read, "a"))
    assert tries == 3
    assert stored(numbers_url, "SELECT total FROM totals WHERE name = 'a'") == [2]
