"""What is past its time, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Forget:
    """Up to `limit` idempotency keys past their time."""

    limit: int = 5000


async def forget_keys(tx: Transaction, wanted: Sequence[Forget]) -> list[int]:
    """Forget keys after 72 hours. The orders they made stay."""
    answers = []
    for want in wanted:
        rows = await tx.fetch(
            """
            DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM idempotency_keys WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED
            )) RETURNING 1
            """,
            [tx.now, want.limit],
        )
        answers.append(len(rows))
    return answers


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
        {"now": tx.now},
    )
    names = ("outbox", "outbox_oldest_s", "unknown_payments", "parked", "orphaned", "dead_letters")
    return dict(zip(names, rows[0], strict=True))
