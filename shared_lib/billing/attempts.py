"""Attempts to collect an order: each is a payment of its own, and so has a key of its own at the provider."""

from __future__ import annotations

from datetime import datetime

from shared_lib.billing.case import Case
from shared_lib.domain.lease import Lease
from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.ids import new_id


def next_attempt(
    case: Case, order: Order, flow: PaymentFlow, *, check_at: datetime | None, method_id: str | None = None
) -> Payment:
    """A payment of what the order costs, not sent yet. `check_at`: when reconcile looks at it, should its job be lost.

    The order need not be in the case yet.
    """
    last = max((payment.attempt for payment in case.payments_of(order)), default=0)
    return Payment(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow=flow,
        status=PaymentStatus.CREATED,
        amount=order.amount,
        attempt=last + 1,
        created_at=case.now,
        payment_method_id=method_id,
        lease=Lease(next_check_at=check_at),
    )


def latest_attempt(case: Case, order: Order) -> Payment | None:
    """The attempt that counts: a surplus, such as a second object of the provider, only where there is no other one."""
    return max(
        case.payments_of(order),
        key=lambda payment: (not payment.surplus, payment.is_live, payment.attempt),
        default=None,
    )


def current_attempt(case: Case, payment: Payment) -> Payment:
    """What an order that waits is to be paid by now: the payment itself, or the one that was opened after it."""
    order = case.order_of(payment)
    if payment.is_live or order.status is not OrderStatus.PENDING:
        return payment
    others = case.payments_of(order)
    return next((other for other in others if other.is_live and not other.surplus), payment)
