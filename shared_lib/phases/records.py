"""Rows of the outbox that Kafka's broker has answered for, a batch at a time.

A broker that is away is not an attempt: nothing is counted. What it will never take becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared_lib.domain.values import Value, field
from shared_lib.ids import new_id
from shared_lib.store.transaction import Transaction


class BatchResult(Value, kw_only=True):
    """What the broker made of a batch: row ids it acknowledged, and those it will never take, each with the reason."""

    acknowledged: Sequence[int]
    refused: Mapping[int, str] = field(default_factory=dict)


async def delete_acknowledged(tx: Transaction, batches: Sequence[BatchResult]) -> list[None]:
    """Delete what the broker has acknowledged, all batches in one statement; bury what it refused."""
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
