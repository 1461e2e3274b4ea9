"""What customers have returned by themselves before: each title once, and a few titles in a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.order import Order
from shared_lib.store.bulk import array_literal
from shared_lib.store.transaction import Question, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnLimit:
    """At most `titles_max` titles of one customer in any `window`, counted from the request."""

    titles_max: int
    window: timedelta


class RefundMemory:
    """Grows while a batch returns, so that a batch counts as its items would one after the other."""

    def __init__(self, returned: set[tuple[str, str]], recent: Counter[str]) -> None:
        self._returned, self._recent = (
            returned,
            recent,
        )  # (customer, product) ever; titles in the window by customer

    def refusal(self, order: Order, limit: ReturnLimit | None) -> Refusal | None:
        """Why its customer does not return this title by themselves, or None."""
        if limit is None or order.kind is PriceKind.SUBSCRIPTION:
            return None
        if (order.customer_id, order.product_id) in self._returned:
            return Refusal(
                Code.REFUND_REPEATED, "You have returned this title before. Our support can help you."
            )
        if self._recent[order.customer_id] >= limit.titles_max:
            return Refusal(
                Code.REFUND_LIMIT,
                f"At most {limit.titles_max} titles are returned in {limit.window.days} days."
                " Our support can help you.",
            )
        return None

    def note(self, order: Order) -> None:
        if order.kind is not PriceKind.SUBSCRIPTION:
            self._returned.add((order.customer_id, order.product_id))
            self._recent[order.customer_id] += 1


@dataclass(frozen=True, slots=True)
class AskedMemory:
    """On its way, before any row is locked: requests of one customer take turns, whichever process they reach.

    Without the turn two returns of two titles would each see the last place free.
    """

    question: Question | None

    @classmethod
    async def of(cls, tx: Transaction, customers: Sequence[str], limit: ReturnLimit | None) -> AskedMemory:
        if limit is None or not customers:
            return cls(None)
        ids = array_literal(sorted(set(customers)))
        await tx.ask(_TURNS, [ids])
        return cls(await tx.ask(_MEMORY, [limit.window, ids]))

    async def memory(self) -> RefundMemory:
        rows = await self.question.rows() if self.question else []
        recent: Counter[str] = Counter()
        for customer_id, _, count in rows:
            recent[customer_id] += count
        return RefundMemory({(row[0], row[1]) for row in rows}, recent)


# Another space of locks (1) than the turns of orders, which it need not wait for.
_TURNS = """
    SELECT pg_advisory_xact_lock(turn) FROM (
        SELECT DISTINCT hashtextextended(customer_id, 1) AS turn FROM unnest(%s::text[]) AS want (customer_id) ORDER BY 1
    ) AS turns
"""

# What an operator gave back, or a surplus, is no wish of the customer; what failed or was rejected gave nothing back.
_MEMORY = """
    SELECT o.customer_id, o.product_id,
           count(DISTINCT o.id) FILTER (WHERE r.created_at > boxoffice_now() - %s::interval)
    FROM orders o JOIN refunds r ON r.order_id = o.id
    WHERE o.customer_id = ANY(%s::text[]) AND o.kind <> 'subscription' AND r.requested_by = o.customer_id
      AND NOT r.surplus AND r.status NOT IN ('failed', 'rejected')
    GROUP BY o.customer_id, o.product_id
"""
