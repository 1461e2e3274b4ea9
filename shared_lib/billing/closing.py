"""An order that ends without money."""

from __future__ import annotations

from shared_lib.billing import facts
from shared_lib.billing.case import Case
from shared_lib.domain.order import ORDER, CancelReason, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import PaymentEvent
from shared_lib.domain.values import replace


def close_unpaid(case: Case, order: Order, event: OrderEvent, reason: CancelReason | None = None) -> Case:
    """The order ends unpaid and leaves its place. The same case when it has ended, or was paid, before.

    `reason`: what its customer cannot know otherwise.
    """
    if not ORDER.allows(order.status, event) or ORDER.is_old_news(order.status, event):
        return case
    closed = replace(order, status=ORDER.after(order.status, event), holds=False, cancel_reason=reason)
    expired = closed.status is OrderStatus.EXPIRED
    return case.put(closed).record(facts.order_expired(closed) if expired else facts.order_canceled(closed))


def closing_event(case: Case, order: Order, event: PaymentEvent) -> OrderEvent:
    """What becomes of an order whose payment ended by this event."""
    expired = event is PaymentEvent.EXPIRED or order.expires_at <= case.now
    return OrderEvent.EXPIRED if expired else OrderEvent.CANCELED
