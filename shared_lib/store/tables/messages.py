"""What was asked of us, what others told us, what we tell others, and whom we wrote to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Interval, SmallInteger
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from shared_lib.domain.messages import InboxStatus, NotificationStatus, SetAsideKind
from shared_lib.store.tables.columns import document, instant, number, octets, one_of, text


class IdempotencyKeyRow(SQLModel, table=True):
    """The promise "one key, one effect". The key space is per customer and route; kept 72 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("idempotency_keys_to_forget", "expires_at"),
        {"postgresql_with": {"fillfactor": "50"}},  # its answer comes later, in place, and is the longer half
    )
    customer_id: str = text(key=True)
    route: str = text(key=True)
    key: str = text(key=True)
    fingerprint: bytes = octets()
    resource_id: str | None = text(null=True)
    locked_until: datetime = instant()
    reply: bytes | None = octets(null=True)  # status, location and body: kept_replies.py
    # As replies were kept before migration 0013. Empty 72 hours after it.
    reply_status: int | None = number(null=True)
    reply_body: bytes | None = octets(null=True)
    reply_location: str | None = text(null=True)
    expires_at: datetime = instant()


class OutboxRow(SQLModel, table=True):
    """What the relay must deliver, written in the transaction that made it true. Deleted once acknowledged."""

    __tablename__ = "outbox"
    __table_args__ = (
        # What is ready is read in the order of the primary key: nearly all of it is, however much there is.
        # Later events of a customer wait for one that is being retried.
        Index("outbox_retrying", "topic", "partition_key", postgresql_where=sql("attempts > 0")),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_cost_delay": "0"}},
    )
    id: int = Field(
        default=None, sa_type=BigInteger, primary_key=True, sa_column_args=[Identity(always=True)]
    )
    event_id: str = text()
    topic: str = text()
    type: str = text()
    subject: str = text()
    sequence: int | None = number(null=True)
    partition_key: str = text()
    shard: int = Field(sa_type=SmallInteger, nullable=False)
    data: dict[str, Any] = document()
    traceparent: str | None = text(null=True)
    created_at: datetime = instant()
    available_at: datetime = instant()
    attempts: int = number(default="0")


class DeadLetterRow(SQLModel, table=True):
    """An event that no door could take, whole, with the reason; replayable."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index(
            "dead_letters_waiting",
            "dead_at",
            postgresql_where=sql("replayed_at IS NULL AND dismissed_at IS NULL"),
        ),
        Index("dead_letters_by_subject", sql("(headers ->> 'subject')")),
    )
    id: str = text(key=True)
    event_id: str | None = text(null=True)
    topic: str = text()
    type: str | None = text(null=True)
    partition_key: str = text()
    headers: dict[str, Any] = document()
    body: bytes = octets()
    reason: str = text()
    dead_at: datetime = instant()
    replayed_at: datetime | None = instant(null=True)
    dismissed_at: datetime | None = instant(null=True)  # by an operator; `repairs` says why


class InboxRow(SQLModel, table=True):
    """Messages already taken: a duplicate is dropped in the transaction of its effect."""

    __tablename__ = "inbox"
    __table_args__ = (
        one_of("inbox", "status", InboxStatus),
        Index("inbox_parked", "next_try_at", postgresql_where=sql("status = 'parked'")),
        Index("inbox_orphaned", "received_at", postgresql_where=sql("status = 'orphaned'")),
        Index("inbox_to_forget", "received_at", postgresql_where=sql("status = 'done'")),
        Index("inbox_by_payment", "about", postgresql_where=sql("about IS NOT NULL")),
    )
    source: str = text(key=True)
    event_id: str = text(key=True)
    status: str = text()
    payload: dict[str, Any] | None = document(null=True)
    attempts: int = number(default="0")
    received_at: datetime = instant()
    next_try_at: datetime | None = instant(null=True)
    about: str | None = text(null=True)  # our payment, of a webhook; for `boxoffice explain`


class NotificationRow(SQLModel, table=True):
    """One message to one customer about one event."""

    __tablename__ = "notifications"
    __table_args__ = (
        one_of("notifications", "status", NotificationStatus),
        Index("notifications_once", "event_id", "customer_id", unique=True),
        Index("notifications_by_customer", "customer_id", "id"),
        Index("notifications_not_sent", "status", "id", postgresql_where=sql("status <> 'sent'")),
    )
    id: str = text(key=True)
    event_id: str = text()
    event_type: str = text()
    customer_id: str = text()
    status: str = text()
    detail: str | None = text(null=True)
    attempts: int = number(default="0")
    locked_until: datetime = instant()
    created_at: datetime = instant()
    sent_at: datetime | None = instant(null=True)
    data: dict[str, Any] | None = document(
        null=True
    )  # of the event, so that an operator can have it mailed again


class RepairRow(SQLModel, table=True):
    """What an operator did with `boxoffice`: only ever added to."""

    __tablename__ = "repairs"
    __table_args__ = (Index("repairs_by_target", "target", "id"),)
    id: str = text(key=True)
    made_at: datetime = instant()
    made_by: str = text()
    verb: str = text()
    target: str = text()
    because: str | None = text(null=True)


class SetAsideRow(SQLModel, table=True):
    """A row that could not be decided. Workers pass over it until `next_try_at`, so that all others go on."""

    __tablename__ = "set_aside"
    __table_args__ = (one_of("set_aside", "kind", SetAsideKind),)
    kind: str = text(key=True)
    id: str = text(key=True)
    reason: str = text()
    attempts: int = number()
    set_aside_at: datetime = instant()  # the first time
    next_try_at: datetime = instant()


class TestClockRow(SQLModel, table=True):
    """How far the test clock runs ahead. Empty in production, where a row here refuses to start."""

    __tablename__ = "test_clock"
    __test__ = False  # not a test class, whatever pytest thinks of the name
    __table_args__ = (CheckConstraint("one", name="test_clock_single"),)
    one: bool = Field(default=True, primary_key=True)
    ahead: timedelta = Field(sa_type=Interval, nullable=False)
