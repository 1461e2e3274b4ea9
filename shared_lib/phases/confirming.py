"""A charge that only its customer can confirm, while they are ordering: they get a page. On rows the caller has locked."""

from __future__ import annotations

from shared_lib.domain.order import PLACED, Order, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import send_again_at
from shared_lib.ids import new_id
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk


def may_be_confirmed(desk: Desk, order: Order, payment: Payment) -> bool:
    """A saved method was charged, its bank wants to see the customer, and the order still waits for its money."""
    waits = order.status is OrderStatus.PENDING and order.expires_at > desk.now and not payment.surplus
    confirmable = payment.flow is PaymentFlow.CHARGE and payment.decline_kind is DeclineKind.ACTION_REQUIRED
    return waits and confirmable and order.billing_reason in PLACED


def open_page(desk: Desk, order: Order, trace: str | None) -> None:
    """A checkout for the same order. The caller who ordered asks for it at once; else its job does, then reconcile."""
    payment = Payment(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow=PaymentFlow.CHECKOUT,
        status=PaymentStatus.CREATED,
        amount=order.amount,
        attempt=1 + max(payment.attempt for payment in desk.payments_of(order.id)),
        created_at=desk.now,
        next_check_at=send_again_at(desk.now, 2),
    )
    desk.put(payment)
    job = facts.start_payment_job(payment, order.customer_id, send_again_at(desk.now, 0), trace)
    desk.ask_for(job)


def payment_that_matters(desk: Desk, payment: Payment) -> Payment:
    """What an order that waits is to be paid by now: the payment itself, or the one that was opened after it."""
    if payment.is_live or desk.orders[payment.order_id].status is not OrderStatus.PENDING:
        return payment
    others = desk.payments_of(payment.order_id)
    return next((other for other in others if other.is_live and not other.surplus), payment)
