"""What settling must know beside the rows it has locked, read once for the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.domain import dunning
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.order import PLACED, Order, OrderStatus, Place, place_of
from shared_lib.domain.payment import PaymentEvent
from shared_lib.domain.values import replace
from shared_lib.phases.desk import Desk
from shared_lib.phases.methods import Methods
from shared_lib.phases.observations import Observed, payment_event
from shared_lib.phases.trials import Trials


@dataclass(slots=True)
class Known:
    """`owned` grows while a batch delivers, so that it cannot deliver the same thing twice.

    Two batches at once may both find a place free: then the database refuses one of them, and it reads again.
    """

    methods: Methods
    owned: set[Place]  # what customers have now: bought for good, rented and not over, subscribed to
    holders: dict[Place, tuple[str, bool]]  # the order that has the place, and whether it waits for its money
    recent_charges: dict[str, int]  # of the last 30 days, by payment method
    trials: Trials

    @classmethod
    async def read(cls, desk: Desk, observed: Sequence[Observed]) -> Known:
        methods, recent_charges = await Methods.read(desk, observed), await _recent_charges(desk, observed)
        trials = await Trials.read(desk, observed)
        known = cls(methods=methods, owned=set(), holders={}, recent_charges=recent_charges, trials=trials)
        await known._read_places(desk, observed)
        return known

    def may_take(self, desk: Desk, order: Order) -> bool:
        """Whether the order's customer can still be given what it is for: they have none, and no other order waits."""
        customer_id, product_id, kind = place = place_of(order)
        bought = (customer_id, product_id, PriceKind.PURCHASE) in self.owned
        if place in self.owned or (kind is PriceKind.RENTAL and bought):
            return False
        holder_id, waits = self.holders.get(place, (order.id, False))
        if holder := desk.orders.get(holder_id):  # this batch may have ended it
            waits = holder.holds and holder.status is OrderStatus.PENDING
        return holder_id == order.id or not waits

    def take(self, desk: Desk, order: Order) -> None:
        """The order, just paid, has its place from now on; whichever had it before is over."""
        place = place_of(order)
        self.owned.add(place)
        if not order.holds:
            if place in self.holders:
                desk.vacate(self.holders[place][0])
            desk.put(replace(order, holds=True))
            self.holders[place] = order.id, False

    async def _read_places(self, desk: Desk, observed: Sequence[Observed]) -> None:
        wanted = {
            desk.payments[news.payment_id].order_id
            for news in observed
            if payment_event(news.said) is PaymentEvent.SUCCEEDED
        }
        orders = [
            desk.orders[order_id] for order_id in wanted if desk.orders[order_id].billing_reason in PLACED
        ]
        if not orders:
            return
        addresses = [[order.customer_id for order in orders], [order.product_id for order in orders]]
        rows = await desk.tx.fetch(
            """
            SELECT customer_id, product_id, kind, NULL::text, NULL::boolean FROM entitlements
            WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
              AND kind <> 'subscription' AND status = 'active' AND (ends_at IS NULL OR ends_at > %s)
            UNION ALL
            SELECT customer_id, product_id, 'subscription', NULL::text, NULL::boolean FROM subscriptions
            WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
              AND status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')
            UNION ALL
            SELECT customer_id, product_id, kind, id, status = 'pending' FROM orders
            WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND holds
            """,
            [*addresses, desk.now, *addresses, *addresses],
        )
        for customer_id, product_id, kind, holder_id, waits in rows:
            place = customer_id, product_id, PriceKind(kind)
            if holder_id is None:
                self.owned.add(place)
            else:
                self.holders[place] = holder_id, waits


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
