"""Rows past their time are deleted."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.store.transaction import Transaction

Key = tuple[str, str, str]  # customer, route, key
Message = tuple[str, str]  # source, event id


async def purge_keys(tx: Transaction, keys: Sequence[Key]) -> list[None]:
    """Delete keys past their time. What they made stays."""
    tx.later(
        """
        DELETE FROM idempotency_keys WHERE expires_at <= %s
          AND (customer_id, route, key) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))
        """,
        [await tx.clock(), *(list(column) for column in zip(*keys, strict=True))],
    )
    return [None] * len(keys)


async def purge_messages(tx: Transaction, messages: Sequence[Message]) -> list[None]:
    """Delete the inbox rows of messages that their senders no longer repeat. What the messages changed stays."""
    tx.later(
        """
        DELETE FROM inbox WHERE status = 'done'
          AND (source, event_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
        """,
        [list(column) for column in zip(*messages, strict=True)],
    )
    return [None] * len(messages)


async def purge_mails(tx: Transaction, ids: Sequence[str]) -> list[None]:
    """Delete notifications that were sent or skipped. Their events are not mailed again: Kafka keeps no event that long."""
    tx.later("DELETE FROM notifications WHERE id = ANY(%s) AND status IN ('sent', 'skipped')", [list(ids)])
    return [None] * len(ids)


async def purge_letters(tx: Transaction, ids: Sequence[str]) -> list[None]:
    """Delete dead letters that were replayed or dismissed."""
    tx.later(
        "DELETE FROM dead_letters WHERE id = ANY(%s) AND (replayed_at IS NOT NULL OR dismissed_at IS NOT NULL)",
        [list(ids)],
    )
    return [None] * len(ids)


async def purge_repairs(tx: Transaction, ids: Sequence[str]) -> list[None]:
    """Delete notes of repairs. The database refuses those of the last year (migration 0013)."""
    tx.later("DELETE FROM repairs WHERE id = ANY(%s)", [list(ids)])
    return [None] * len(ids)
