"""What is past its time, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.store.transaction import Transaction

# Providers call again for three days at most; after this nobody will.
MESSAGES_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Forget:
    """Up to `limit` of each: idempotency keys past their time, and messages that nobody will repeat."""

    limit: int = 5000


async def forget(tx: Transaction, wanted: Sequence[Forget]) -> list[int]:
    """Forget keys after 72 hours and taken messages after 30 days. What they made stays. Returns how many went."""
    return [await _forget_keys(tx, want.limit) + await _forget_messages(tx, want.limit) for want in wanted]


async def _forget_keys(tx: Transaction, limit: int) -> int:
    rows = await tx.fetch(
        """
        DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        [await tx.clock(), limit],
    )
    return len(rows)


async def _forget_messages(tx: Transaction, limit: int) -> int:
    rows = await tx.fetch(
        """
        DELETE FROM inbox WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM inbox WHERE status = 'done' AND received_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        [(await tx.clock()) - MESSAGES_KEPT, limit],
    )
    return len(rows)


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
               (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL)
        """,
        {"now": await tx.clock()},
    )
    names = ("outbox", "outbox_oldest_s", "unknown_payments", "parked", "orphaned", "dead_letters")
    return dict(zip(names, rows[0], strict=True))
