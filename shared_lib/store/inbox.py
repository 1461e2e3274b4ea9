"""The inbox: a message is taken once, in the transaction of its effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared_lib.store.transaction import Transaction


async def take(
    tx: Transaction, messages: Sequence[tuple[str, str]], about: Mapping[tuple[str, str], str] | None = None
) -> set[tuple[str, str]]:
    """Note (source, id) pairs as taken; the answer holds those that had not been before. `about`: the payments they report."""
    if not messages:
        return set()
    # Sorted, so that two batches with the same messages wait for each other instead of deadlocking.
    pairs = sorted(set(messages))
    rows = await tx.fetch(
        """
        INSERT INTO inbox (source, event_id, status, received_at, about)
        SELECT source, event_id, 'done', boxoffice_now(), about
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS new (source, event_id, about)
        ON CONFLICT DO NOTHING RETURNING source, event_id
        """,
        [
            [source for source, _ in pairs],
            [event_id for _, event_id in pairs],
            [(about or {}).get(pair) for pair in pairs],
        ],
    )
    return {(source, event_id) for source, event_id in rows}
