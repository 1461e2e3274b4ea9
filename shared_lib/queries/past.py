"""What is past its time, by key alone: no value of a broken row is read here.

Each read begins with the oldest row and ends with the first that is kept, so it costs what there is to purge and not what there is.
Ids begin with the instant at which they were made, so mails, letters and repairs are found by their primary keys.
"""

from __future__ import annotations

from datetime import timedelta

from shared_lib.domain.values import Value
from shared_lib.ids import first_of
from shared_lib.store.transaction import Row, Transaction


class Past(Value, kw_only=True):
    """Rows older than so many days, at most `limit` of them."""

    days: int
    limit: int


async def expired_keys(tx: Transaction, limit: int) -> list[tuple[str, str, str]]:
    """Idempotency keys past their 72 hours: customer, route, key."""
    rows = await tx.fetch(
        "SELECT customer_id, route, key FROM idempotency_keys WHERE expires_at <= %s ORDER BY expires_at LIMIT %s",
        [await tx.clock(), limit],
    )
    return [(customer_id, route, key) for customer_id, route, key in rows]


async def old_messages(tx: Transaction, past: Past) -> list[tuple[str, str]]:
    """Messages that were taken so long ago: source, event id. What is parked or orphaned stays."""
    rows = await tx.fetch(
        "SELECT source, event_id FROM inbox WHERE status = 'done' AND received_at <= %s ORDER BY received_at LIMIT %s",
        [await tx.clock() - timedelta(days=past.days), past.limit],
    )
    return [(source, event_id) for source, event_id in rows]


async def old_mails(tx: Transaction, past: Past) -> list[str]:
    """Notifications that were sent, or that have no address. Those that a person or a job has still to look at stay."""
    return _ids(
        await tx.fetch(
            """
            SELECT id FROM notifications
            WHERE id < %s AND created_at <= %s AND status IN ('sent', 'skipped') ORDER BY id LIMIT %s
            """,
            await _before(tx, "ntf", past),
        )
    )


async def old_letters(tx: Transaction, past: Past) -> list[str]:
    """Dead letters that were replayed or dismissed. Those that wait stay."""
    return _ids(
        await tx.fetch(
            """
            SELECT id FROM dead_letters
            WHERE id < %s AND dead_at <= %s AND (replayed_at IS NOT NULL OR dismissed_at IS NOT NULL) ORDER BY id LIMIT %s
            """,
            await _before(tx, "dlt", past),
        )
    )


async def old_repairs(tx: Transaction, past: Past) -> list[str]:
    """What operators did so long ago."""
    return _ids(
        await tx.fetch(
            "SELECT id FROM repairs WHERE id < %s AND made_at <= %s ORDER BY id LIMIT %s",
            await _before(tx, "rpr", past),
        )
    )


async def _before(tx: Transaction, prefix: str, past: Past) -> list[object]:
    at = await tx.clock() - timedelta(days=past.days)
    return [first_of(prefix, at), at, past.limit]


def _ids(rows: list[Row]) -> list[str]:
    return [id_ for (id_,) in rows]
