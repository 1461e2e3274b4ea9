"""What is past its time, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from shared_lib.store.transaction import Transaction

# Providers call again for three days at most; after this nobody will.
MESSAGES_KEPT = timedelta(days=30)

Key = tuple[str, str, str]  # customer, route, key
Message = tuple[str, str]  # source, event id


async def old_keys(tx: Transaction, limit: int) -> list[Key]:
    """A query: idempotency keys past their 72 hours."""
    rows = await tx.fetch(
        "SELECT customer_id, route, key FROM idempotency_keys WHERE expires_at <= %s LIMIT %s",
        [await tx.clock(), limit],
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def forget_keys(tx: Transaction, keys: Sequence[Key]) -> list[None]:
    """Forget keys past their time. What they made stays."""
    tx.later(
        """
        DELETE FROM idempotency_keys WHERE expires_at <= %s
          AND (customer_id, route, key) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))
        """,
        [await tx.clock(), *(list(column) for column in zip(*keys, strict=True))],
    )
    return [None] * len(keys)


async def old_messages(tx: Transaction, limit: int) -> list[Message]:
    """A query: taken messages after 30 days."""
    rows = await tx.fetch(
        "SELECT source, event_id FROM inbox WHERE status = 'done' AND received_at <= %s LIMIT %s",
        [(await tx.clock()) - MESSAGES_KEPT, limit],
    )
    return [(row[0], row[1]) for row in rows]


async def forget_messages(tx: Transaction, messages: Sequence[Message]) -> list[None]:
    """Delete the inbox rows of messages that their senders no longer repeat. What the messages changed stays."""
    tx.later(
        """
        DELETE FROM inbox WHERE status = 'done'
          AND (source, event_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
        """,
        [list(column) for column in zip(*messages, strict=True)],
    )
    return [None] * len(messages)


async def backlog(tx: Transaction, _: None) -> dict[str, int]:
    """A query: what waits, for the log line an alarm looks at. Seconds are those of the oldest."""
    rows = await tx.fetch(
        """
        SELECT (SELECT count(*) FROM outbox WHERE available_at <= %(now)s),
               (SELECT coalesce(extract(epoch FROM %(now)s - min(available_at)), 0)::int FROM outbox
                WHERE available_at <= %(now)s),
               (SELECT count(*) FROM payments WHERE status = 'unknown'),
               (SELECT count(*) FROM inbox WHERE status = 'parked'),
               (SELECT count(*) FROM inbox WHERE status = 'orphaned'),
               (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL),
               (SELECT count(*) FROM set_aside)
        """,
        {"now": await tx.clock()},
    )
    names = (
        "outbox",
        "outbox_oldest_s",
        "unknown_payments",
        "parked",
        "orphaned",
        "dead_letters",
        "set_aside",
    )
    return dict(zip(names, rows[0], strict=True))
