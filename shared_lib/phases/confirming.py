"""A charge that only its customer can confirm, while they are ordering: they get a page. On rows the caller has locked."""

from __future__ import annotations

from shared_lib.domain.order import PLACED, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow
from shared_lib.domain.schedule import send_again_at
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.desk import Desk
from shared_lib.phases.links import TOO_SMALL, open_link


def open_page_or_close(desk: Desk, order: Order, payment: Payment, trace: str | None) -> None:
    """After a decline: a checkout for the same order where that can help, else the order ends.

    The caller who ordered asks for the page at once; else its job does, then reconcile.
    """
    if _may_be_confirmed(desk, order, payment):
        open_link(desk, order, job_at=send_again_at(desk.now, 0), trace=trace)
    else:
        close_unpaid(desk, order.id, OrderEvent.CANCELED)


def _may_be_confirmed(desk: Desk, order: Order, payment: Payment) -> bool:
    """A saved method was charged, its bank wants to see the customer, and the order still waits for its money."""
    waits = order.status is OrderStatus.PENDING and order.expires_at > desk.now and not payment.surplus
    confirmable = payment.decline_kind is DeclineKind.ACTION_REQUIRED and payment.decline_reason != TOO_SMALL
    return waits and confirmable and payment.flow is PaymentFlow.CHARGE and order.billing_reason in PLACED


def payment_that_matters(desk: Desk, payment: Payment) -> Payment:
    """What an order that waits is to be paid by now: the payment itself, or the one that was opened after it."""
    if payment.is_live or desk.orders[payment.order_id].status is not OrderStatus.PENDING:
        return payment
    others = desk.payments_of(payment.order_id)
    return next((other for other in others if other.is_live and not other.surplus), payment)
