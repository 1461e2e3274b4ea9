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
