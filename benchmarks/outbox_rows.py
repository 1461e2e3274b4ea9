"""Rows to fill an outbox with, as Boxoffice writes them: 0.5 KB of data, 0.8 KB as a record of Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import psycopg

from shared_lib.billing.events import FACTS
from shared_lib.ids import new_id
from shared_lib.store.outbox import shard_of

TOPIC: Final = FACTS
CUSTOMERS: Final = 5_000
RECORD_BYTES: Final = 800  # key, value and headers
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class EventRow(NamedTuple):
    event_id: str
    type: str
    subject: str
    sequence: int
    partition_key: str
    data: str
    traceparent: str


def rows(count: int, *, first: int = 0) -> Iterator[EventRow]:
    """Four facts about each order, customers by turns."""
    for n in range(first, first + count):
        order, key = f"ord_{n // 4:026}", f"cus_{n // 4 % CUSTOMERS:026}"
        data = {
            "n": n,
            "order_id": order,
            "customer_id": key,
            "status": "paid",
            "billing_reason": "purchase",
            "product_id": "prd_01JD0000000000000000000000",
            "product_title": "The Cabinet of Dr. Caligari",
            "price_id": "prc_01JD0000000000000000000000",
            "kind": "purchase",
            "amount": {"minor": 1299, "currency": "EUR"},
            "subscription_id": None,
            "provider": "sandbox",
            "period_start": None,
            "period_end": None,
            "payment_id": "pay_01JD0000000000000000000000",
            "paid_at": "2026-01-01T00:00:00Z",
            "trial": False,
        }
        yield EventRow(new_id("evt"), "billing.order.paid", order, n % 4 + 1, key, json.dumps(data), TRACE)


def insert(db: psycopg.Connection[Any], events: list[EventRow]) -> None:
    """Insert these events into the outbox; the caller commits."""
    with (
        db.cursor() as cursor,
        cursor.copy(
            "COPY outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, traceparent,"
            " created_at, available_at) FROM STDIN"
        ) as copy,
    ):
        for one in events:
            copy.write_row(
                (one.event_id, TOPIC, one.type, one.subject, one.sequence, one.partition_key,
                 shard_of(one.partition_key), one.data, one.traceparent, "now", "now")
            )  # fmt: skip
