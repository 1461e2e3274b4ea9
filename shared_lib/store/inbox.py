"""The inbox: a message is taken once, in the transaction of its effect."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.store.transaction import Transaction


async def take(tx: Transaction, messages: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Note (source, id) pairs as taken; the answer holds those that had not been before."""
    if not messages:
        return set()
    # Sorted, so that two batches with the same messages wait for each other instead of deadlocking.
    pairs = sorted(set(messages))
    rows = await tx.fetch(
        """
        INSERT INTO inbox (source, event_id, status, received_at)
        SELECT source, event_id, 'done', boxoffice_now() FROM unnest(%b::text[], %b::text[]) AS new (source, event_id)
        ON CONFLICT DO NOTHING RETURNING source, event_id
        """,
        [[source for source, _ in pairs], [event_id for _, event_id in pairs]],
    )
    return {(source, event_id) for source, event_id in rows}
