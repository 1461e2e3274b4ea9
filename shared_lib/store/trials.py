"""One trial per plan for each customer and each card: claimed in the transaction that would begin it."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.store.transaction import Question, Transaction

Claim = tuple[str, str, str, str]
"""Product, identity, customer, order."""


async def claim_trials(tx: Transaction, claims: Sequence[Claim]) -> Question:
    """Claim now. The answer: rows of (product, identity, the order that has it).

    The first to insert an identity has it. Another transaction that wants it too waits until that is committed, so the
    claims are sorted: two batches take the same ones in the same order.
    """
    products, identities, customers, orders = (list(column) for column in zip(*sorted(claims), strict=True))
    await tx.ask(
        """
        INSERT INTO trials (product_id, identity, customer_id, order_id, used_at)
        SELECT new.*, boxoffice_now() FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[]) AS new
        ON CONFLICT DO NOTHING
        """,
        [products, identities, customers, orders],
    )
    return await tx.ask(
        """
        SELECT product_id, identity, order_id FROM trials
        WHERE (product_id, identity) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
        """,
        [products, identities],
    )


def release_trial(tx: Transaction, order_id: str) -> None:
    """Queue: the order's trial does not begin, so it may still be had."""
    tx.later("DELETE FROM trials WHERE order_id = %s", [order_id])
