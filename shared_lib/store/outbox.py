"""The outbox: events to deliver, written in the transaction of what they report."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.json import encode

from shared_lib.billing.events import Event
from shared_lib.domain.values import Value
from shared_lib.ids import new_id
from shared_lib.store.bulk import Table
from shared_lib.store.codec import columns_of
from shared_lib.store.transaction import Transaction

# A relay owns whole shards, so that the events of one customer stay in order however many relays there are.
SHARDS = 12

OUTBOX = Table(
    "outbox",
    {**columns_of(Event), "event_id": "text", "shard": "smallint", "created_at": "timestamptz"},
)

# Before a query for the first few that are ready: the primary key in its order, whatever the statistics say. The planner
# thinks that few rows pass, and would read and sort the whole outbox each time, which hurts most when it is long.
# `jit` too: before PostgreSQL 18 a plan that is switched off counts as costing 10^10, so the little query within
# boxoffice_now() was compiled again for every row: 23 s for a thousand rows instead of 2 ms.
READ_IN_ORDER = """
    SELECT set_config(name, 'off', true)
    FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'jit']) AS name
"""


class OutboxRow(NamedTuple):
    """A row for Kafka's relay; `data` is JSON as PostgreSQL writes it. A tuple, because there are thousands a second."""

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


class Outgoing(Value, kw_only=True):
    """A row for the HTTP relay."""

    row_id: int
    event_id: str
    topic: str
    type: str
    subject: str
    sequence: int | None
    partition_key: str
    data: dict[str, Any]
    traceparent: str | None
    created_at: datetime
    attempts: int

    @property
    def lane(self) -> tuple[str, str]:
        """Events of one lane are delivered one after the other."""
        return self.topic, self.partition_key


def shard_of(partition_key: str) -> int:
    return zlib.crc32(partition_key.encode()) % SHARDS


def publish(tx: Transaction, events: Sequence[Event]) -> None:
    """Queue events; they exist if and only if the transaction commits."""
    rows = [
        (
            type_,
            subject,
            partition_key,
            encode(data).decode(),
            sequence,
            topic,
            traceparent,
            available_at or tx.now,
            new_id("evt"),
            shard_of(partition_key),
            tx.now,
        )
        for type_, subject, partition_key, data, sequence, topic, traceparent, available_at in events
    ]
    OUTBOX.insert(tx, rows)
