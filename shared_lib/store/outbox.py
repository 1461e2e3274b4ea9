"""The outbox: what must be told, written in the transaction that made it true."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from shared_lib.ids import new_id
from shared_lib.store.bulk import Table
from shared_lib.store.transaction import Transaction

FACTS, JOBS = "billing.events", "billing.jobs"

# A relay owns whole shards, so that the events of one customer stay in order however many relays there are.
SHARDS = 12

OUTBOX = Table(
    "outbox",
    {
        "event_id": "text",
        "topic": "text",
        "type": "text",
        "subject": "text",
        "sequence": "integer",
        "partition_key": "text",
        "shard": "smallint",
        "data": "jsonb",
        "traceparent": "text",
        "created_at": "timestamptz",
        "available_at": "timestamptz",
    },
)

# Before a query for the first few that are ready: the primary key in its order, whatever the statistics say. The planner
# thinks that few rows pass, and would read and sort the whole outbox each time, which hurts most when it is long.
# `jit` too: before PostgreSQL 18 a plan that is switched off counts as costing 10^10, so the little query within
# boxoffice_now() was compiled anew for every row: 23 s for a thousand rows instead of 2 ms.
READ_IN_ORDER = """
    SELECT set_config(name, 'off', true)
    FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'jit']) AS name
"""


class Event(NamedTuple):
    """One CloudEvent to be. `sequence` counts the events of its subject; jobs have none."""

    type: str
    subject: str
    partition_key: str
    data: Mapping[str, Any]
    sequence: int | None = None
    topic: str = FACTS
    traceparent: str | None = None
    available_at: datetime | None = None  # None: at once


def shard_of(partition_key: str) -> int:
    return zlib.crc32(partition_key.encode()) % SHARDS


def publish(tx: Transaction, events: Sequence[Event]) -> None:
    """Add events; they exist if and only if the transaction commits."""
    rows = [
        (
            new_id("evt"),
            event.topic,
            event.type,
            event.subject,
            event.sequence,
            event.partition_key,
            shard_of(event.partition_key),
            to_json(event.data).decode(),
            event.traceparent,
            tx.now,
            event.available_at or tx.now,
        )
        for event in events
    ]
    OUTBOX.insert(tx, rows)
