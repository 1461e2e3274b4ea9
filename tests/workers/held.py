"""Sessions that hold their transactions open while floors are raised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from shared_lib.queries.floor import NO_FLOOR, Floor, Raise, raised
from shared_lib.queries.outbox import ReadBatch, Ready, ready_ids, unsent_ids
from shared_lib.runtime import Runtime
from shared_lib.store.outbox import SHARDS, shard_of

ALL = tuple(range(SHARDS))
INSERT = """
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, created_at, available_at)
    SELECT 'evt_' || %(key)s || n, 'billing.events', 'billing.order.paid', 'ord_1', n, %(key)s, %(shard)s, '{}', now(), now()
    FROM generate_series(1, %(count)s) AS n RETURNING id
"""
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield connection


async def insert(connection: Connection, key: str, count: int = 1) -> list[int]:
    """Insert, without a commit. Returns the ids."""
    rows = await connection.execute(INSERT, {"key": key, "shard": shard_of(key), "count": count})
    return [row[0] for row in await rows.fetchall()]


async def deliver(url: str) -> None:
    """Delete everything that is visible, as relays do."""
    async with session(url) as connection:
        await connection.execute("DELETE FROM outbox")


async def looked(rt: Runtime, floor: Floor = NO_FLOOR, times: int = 2) -> Floor:
    for _ in range(times):
        floor = await rt.read(raised, Raise(floor=floor))
    return floor


async def readable_ids(rt: Runtime, floor: Floor) -> list[int]:
    """What Kafka's relay would read, which is what the relay over HTTP would read."""
    found = await rt.read(unsent_ids, ReadBatch(shards=ALL, floor=floor))
    assert found == await rt.read(ready_ids, Ready(shards=ALL, floor=floor, limit=1000))
    return found
