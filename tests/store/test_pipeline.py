"""Statements of a transaction leave together, whatever their number and size."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from shared_lib.store.transaction import Row, transaction
from tests.kit.waiting import PATIENCE_S

MEGABYTE = "x" * 1_000_000


async def connected(database_url: str) -> AsyncConnection[Row]:
    return await psycopg.AsyncConnection.connect(database_url, autocommit=True, prepare_threshold=3)


async def keep(connection: AsyncConnection[Row], *numbers: int) -> None:
    async with transaction(connection) as tx:
        for n in numbers:
            tx.later("INSERT INTO kept VALUES (%s)", [n])


async def test_nothing_is_sent_before_an_answer_is_waited_for_and_then_all_of_it(database_url: str) -> None:
    """As long as psycopg calls what store/pipeline.py replaces."""
    async with (
        asyncio.timeout(PATIENCE_S),
        await connected(database_url) as connection,
        await connected(database_url) as other,
        transaction(connection) as tx,
    ):
        (pid,) = (await tx.fetch("SELECT pg_backend_pid()"))[0]
        question = await tx.ask("SELECT pg_advisory_xact_lock(%s)", [pid])
        locks = "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'advisory'"
        for _ in range(20):  # each a round trip, in which the server would have answered
            assert await (await other.execute(locks, [pid])).fetchone() == (0,)
        await question.rows()
        assert await (await other.execute(locks, [pid])).fetchone() == (1,)


async def test_statements_and_answers_that_fill_every_buffer_on_the_way_arrive(database_url: str) -> None:
    async with asyncio.timeout(PATIENCE_S), await connected(database_url) as connection:
        await connection.execute("CREATE TEMPORARY TABLE kept (n integer, text text)")
        async with transaction(connection) as tx:
            questions = [await tx.ask("SELECT %s::text", [MEGABYTE]) for _ in range(8)]
            assert [len(row[0]) for question in questions for row in await question.rows()] == [10**6] * 8
            for n in range(8):
                tx.later("INSERT INTO kept VALUES (%s, %s) RETURNING text", [n, MEGABYTE])
        cursor = await connection.execute("SELECT count(*), sum(length(text)) FROM kept")
        assert await cursor.fetchone() == (8, 8 * 10**6)


async def test_an_error_of_a_write_is_raised_and_nothing_of_the_transaction_stays(database_url: str) -> None:
    async with asyncio.timeout(PATIENCE_S), await connected(database_url) as connection:
        await connection.execute("CREATE TEMPORARY TABLE kept (n integer PRIMARY KEY)")
        for _ in range(5):  # the driver prepares a statement at its third use
            with pytest.raises(errors.UniqueViolation):
                await keep(connection, 1, 2, 1, 3)
        await keep(connection, 4)
        async with transaction(connection) as tx:
            assert await tx.fetch("SELECT n FROM kept") == [(4,)]
