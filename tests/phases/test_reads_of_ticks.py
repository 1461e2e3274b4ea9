"""A tick reads what waits, not what is done: its cost must not grow with the years of orders behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from benchmarks.years import fill
from shared_lib.queries.due import (
    due_payments,
    due_refunds,
    due_subscriptions,
    parked,
    parked_plays,
)
from shared_lib.queries.health import backlog
from shared_lib.queries.past import Past, expired_keys, old_letters, old_mails, old_messages, old_repairs
from shared_lib.store.transaction import Transaction, snapshot

DONE = 3_000
READ_MAX = 100  # the few rows that wait
QUERIES: list[tuple[Callable[[Transaction, Any], Awaitable[Any]], Any]] = [
    (backlog, None),
    (expired_keys, 5000),
    (old_messages, Past(days=30, limit=5000)),
    (old_mails, Past(days=30, limit=5000)),
    (old_letters, Past(days=30, limit=5000)),
    (old_repairs, Past(days=30, limit=5000)),
    (parked, 200),
    (parked_plays, 200),
    (due_payments, 200),
    (due_refunds, 200),
    (due_subscriptions, 1000),
]


@pytest.fixture
def years_url(database_url: str) -> str:
    """A database in which nothing waits, and much is done."""
    with psycopg.connect(database_url, autocommit=True) as db:
        fill(db, DONE)
    return database_url


@pytest.mark.parametrize(("query", "argument"), QUERIES, ids=[query.__name__ for query, _ in QUERIES])
async def test_a_tick_reads_no_rows_that_are_done(
    years_url: str, query: Callable[[Transaction, Any], Awaitable[Any]], argument: Any
) -> None:
    async with (
        await psycopg.AsyncConnection.connect(years_url, autocommit=True) as connection,
        snapshot(connection) as tx,
    ):
        await query(tx, argument)
        read = await tx.fetch(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE seq_tup_read + coalesce(idx_tup_fetch, 0) > %s",
            [READ_MAX],
        )
    assert read == []
