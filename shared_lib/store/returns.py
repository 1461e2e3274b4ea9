"""Reading what customers have returned before. Their requests take turns for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared_lib.billing.returns import ReturnLimit, Returns
from shared_lib.domain.values import Value
from shared_lib.store.bulk import array_literal
from shared_lib.store.transaction import Question, Transaction


class ReturnsQuery(Value):
    """On its way, before any row is locked: requests of one customer take turns, whichever process they reach.

    Without the turn two returns of two titles would each see the last place free.
    """

    question: Question | None

    @classmethod
    async def of(cls, tx: Transaction, customers: Sequence[str], limit: ReturnLimit | None) -> ReturnsQuery:
        if limit is None or not customers:
            return cls(None)
        ids = array_literal(sorted(set(customers)))
        await tx.ask(_TURNS, [ids])
        return cls(await tx.ask(_RETURNS, [limit.window, ids]))

    async def returns(self) -> Returns:
        rows = await self.question.rows() if self.question else []
        recent: Counter[str] = Counter()
        for customer_id, _, count in rows:
            recent[customer_id] += count
        titles = frozenset((customer_id, product_id) for customer_id, product_id, _ in rows)
        return Returns(titles, recent)


# Another space of locks (1) than the turns of orders, which it need not wait for.
_TURNS = """
    SELECT pg_advisory_xact_lock(turn) FROM (
        SELECT DISTINCT hashtextextended(customer_id, 1) AS turn FROM unnest(%s::text[]) AS want (customer_id) ORDER BY 1
    ) AS turns
"""

# What an operator gave back, or a surplus, is no wish of the customer; what failed or was rejected gave nothing back.
_RETURNS = """
    SELECT o.customer_id, o.product_id,
           count(DISTINCT o.id) FILTER (WHERE r.created_at > boxoffice_now() - %s::interval)
    FROM orders o JOIN refunds r ON r.order_id = o.id
    WHERE o.customer_id = ANY(%s::text[]) AND o.kind <> 'subscription' AND r.requested_by = o.customer_id
      AND NOT r.surplus AND r.status NOT IN ('failed', 'rejected')
    GROUP BY o.customer_id, o.product_id
"""
