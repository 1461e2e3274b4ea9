"""The outbox as Kafka's relay sees it: rows to send in order, deleted a batch at a time once the broker has acknowledged them.

No row is put off. While the broker is away no attempt is counted; what the broker will never take becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared_lib.ids import new_id
from shared_lib.store.outbox import READ_IN_ORDER
from shared_lib.store.transaction import Row, Transaction


class OutboxRow(NamedTuple):
    """One row of the outbox; `data` is JSON as PostgreSQL writes it. A tuple, because there are thousands a second."""

    row_id: int
    event_id: str
    topic: str
    type: str
    subject: str
    sequence: int | None
    partition_key: str
    data: str
    traceparent: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBatch:
    """Which rows to read: those of these shards, without those in flight and those whose topic does not exist."""

    shards: Sequence[int]
    on_their_way: Sequence[int] = ()
    no_topics: Sequence[str] = ()
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What the broker said of a batch: acknowledged row ids, and the reasons of rows that it will never take."""

    acknowledged: Sequence[int]
    refused: Mapping[int, str] = field(default_factory=dict)


_COLUMNS = "id, event_id, topic, type, subject, sequence, partition_key, data::text, traceparent, created_at"


async def unsent(tx: Transaction, wanted: ReadBatch) -> list[OutboxRow]:
    """A query: what may be sent now, in order. It reads every row there is, never `id > last`, because ids commit out of order."""
    return [OutboxRow._make(row) for row in await _unsent(tx, wanted, _COLUMNS)]


async def unsent_ids(tx: Transaction, wanted: ReadBatch) -> list[int]:
    """A query: the row ids alone of the same rows, for when a value cannot be decoded."""
    return [row[0] for row in await _unsent(tx, wanted, "id")]


async def unsent_of(tx: Transaction, row_ids: Sequence[int]) -> list[OutboxRow]:
    """A query: these rows, in order."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM outbox WHERE id = ANY(%b::bigint[]) ORDER BY id", [list(row_ids)]
    )
    return [OutboxRow._make(row) for row in rows]


async def _unsent(tx: Transaction, wanted: ReadBatch, columns: str) -> list[Row]:
    await tx.ask(READ_IN_ORDER)
    return await tx.fetch(
        f"""
        SELECT {columns}
        FROM outbox o, (SELECT boxoffice_now() AS now) AS clock
        WHERE shard = ANY(%b::smallint[]) AND available_at <= now
          AND id <> ALL(%b::bigint[]) AND topic <> ALL(%b::text[])
          AND NOT EXISTS (SELECT FROM outbox e WHERE e.topic = o.topic AND e.partition_key = o.partition_key
                          AND e.attempts > 0 AND e.available_at > now AND e.id < o.id)
        ORDER BY id LIMIT %s
        """,
        [list(wanted.shards), list(wanted.on_their_way), list(wanted.no_topics), wanted.limit],
    )


async def delete_acknowledged(tx: Transaction, batches: Sequence[BatchResult]) -> list[None]:
    """Delete what the broker has acknowledged, all batches in one statement; refused rows become dead letters."""
    tx.later(
        "DELETE FROM outbox WHERE id = ANY(%b::bigint[])",
        [sorted(row_id for batch in batches for row_id in batch.acknowledged)],
    )
    for row_id, reason in (item for batch in batches for item in batch.refused.items()):
        tx.later(_BURY, [row_id, new_id("dlt"), reason])
    return [None] * len(batches)


_BURY = """
    WITH gone AS (DELETE FROM outbox WHERE id = %s RETURNING *)
    INSERT INTO dead_letters (id, event_id, topic, type, partition_key, headers, body, reason, dead_at)
    SELECT %s, event_id, topic, type, partition_key,
           jsonb_build_object('subject', subject, 'sequence', sequence, 'traceparent', traceparent),
           convert_to(data::text, 'UTF8'), %s, boxoffice_now()
    FROM gone
"""
