"""A charge that only its customer can confirm, while they are ordering: they get a page. On rows the caller has locked."""

from __future__ import annotations

from shared_lib.domain.order import PLACED, Order, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow
from shared_lib.domain.schedule import send_again_at
from shared_lib.phases.desk import Desk
from shared_lib.phases.links import TOO_SMALL, open_link


def may_be_confirmed(desk: Desk, order: Order, payment: Payment) -> bool:
    """A saved method was charged, its bank wants to see the customer, and the order still waits for its money."""
    waits = order.status is OrderStatus.PENDING and order.expires_at > desk.now and not payment.surplus
    confirmable = payment.decline_kind is DeclineKind.ACTION_REQUIRED and payment.decline_reason != TOO_SMALL
    return waits and confirmable and payment.flow is PaymentFlow.CHARGE and order.billing_reason in PLACED


def open_page(desk: Desk, order: Order, trace: str | None) -> None:
    """A checkout for the same order. The caller who ordered asks for it at once; else its job does, then reconcile."""
    open_link(desk, order, job_at=send_again_at(desk.now, 0), trace=trace)


def payment_that_matters(desk: Desk, payment: Payment) -> Payment:
    """What an order that waits is to be paid by now: the payment itself, or the one that was opened after it."""
    if payment.is_live or desk.orders[payment.order_id].status is not OrderStatus.PENDING:
        return payment
    others = desk.payments_of(payment.order_id)
    return next((other for other in others if other.is_live and not other.surplus), payment)
