"""An order that ends without money. Works on rows the caller has locked."""

from __future__ import annotations

from shared_lib.domain.order import ORDER, CancelReason, OrderEvent, OrderStatus
from shared_lib.domain.subscription import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus
from shared_lib.domain.values import replace
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk


def close_unpaid(desk: Desk, order_id: str, event: OrderEvent, reason: CancelReason | None = None) -> None:
    """The order ends unpaid and leaves its place; a subscription that never began ends with it.

    `reason`: what its customer must be told.
    """
    order = desk.orders[order_id]
    if not ORDER.allows(order.status, event) or ORDER.is_old_news(order.status, event):
        return
    closed = replace(order, status=ORDER.after(order.status, event), holds=False, cancel_reason=reason)
    desk.put(closed)
    if closed.status is OrderStatus.EXPIRED:
        desk.tell_of_order("billing.order.expired", order_id, facts.of_order(closed))
    else:
        desk.tell_of_order("billing.order.canceled", order_id, facts.of_order(closed, reason=reason))
    if order.subscription_id:
        subscription = desk.subscriptions[order.subscription_id]
        if subscription.status is SubscriptionStatus.INCOMPLETE:
            gone = SUBSCRIPTION.after(subscription.status, SubscriptionEvent.CHECKOUT_ABANDONED)
            desk.put(replace(subscription, status=gone))
