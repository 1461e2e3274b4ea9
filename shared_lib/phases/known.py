"""What settling must know beside the rows it has locked, read once for the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.domain import dunning
from shared_lib.domain.order import BillingReason
from shared_lib.domain.payment import PaymentEvent
from shared_lib.phases.desk import Desk
from shared_lib.phases.methods import Methods
from shared_lib.phases.observations import Observed, payment_event

# What a customer can have only once at a time. A rental may be had beside anything.
ONCE = frozenset({BillingReason.PURCHASE, BillingReason.SUBSCRIPTION_CREATE})


@dataclass(slots=True)
class Known:
    """`owned` grows while a batch delivers, so that it cannot deliver the same thing twice."""

    methods: Methods
    owned: set[tuple[str, str]]  # (customer, product) bought for good, or subscribed to now
    recent_charges: dict[str, int]  # of the last 30 days, by payment method

    @classmethod
    async def read(cls, desk: Desk, observed: Sequence[Observed]) -> Known:
        return cls(
            methods=await Methods.read(desk, observed),
            owned=await _owned_elsewhere(desk, observed),
            recent_charges=await _recent_charges(desk, observed),
        )


async def _owned_elsewhere(desk: Desk, observed: Sequence[Observed]) -> set[tuple[str, str]]:
    wanted = {
        desk.payments[news.payment_id].order_id
        for news in observed
        if payment_event(news.said) is PaymentEvent.SUCCEEDED
    }
    orders = [desk.orders[order_id] for order_id in wanted if desk.orders[order_id].billing_reason in ONCE]
    if not orders:
        return set()
    rows = await desk.tx.fetch(
        """
        SELECT customer_id, product_id FROM entitlements
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND kind = 'purchase' AND status = 'active'
        UNION
        SELECT customer_id, product_id FROM subscriptions
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')
        """,
        [[order.customer_id for order in orders], [order.product_id for order in orders]] * 2,
    )
    return {(row[0], row[1]) for row in rows}


async def _recent_charges(desk: Desk, observed: Sequence[Observed]) -> dict[str, int]:
    """Charges of the last 30 days by method, for the methods that were declined just now."""
    declined = {
        desk.payments[news.payment_id].payment_method_id
        for news in observed
        if payment_event(news.said) is PaymentEvent.DECLINED
    } - {None}
    if not declined:
        return {}
    rows = await desk.tx.fetch(
        """
        SELECT m.id, count(*) FROM payment_methods m
        JOIN orders o ON o.customer_id = m.customer_id JOIN payments p ON p.order_id = o.id
        WHERE m.id = ANY(%s) AND p.payment_method_id = m.id
          AND p.flow = 'charge' AND p.created_at > %s
        GROUP BY m.id
        """,
        [list(declined), desk.now - timedelta(days=dunning.DEFAULT.attempts_window_days)],
    )
    return {row[0]: row[1] for row in rows}
