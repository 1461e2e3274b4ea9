"""Money nobody owed us: recorded, reserved and returned by itself. Works on rows the caller has locked."""

from __future__ import annotations

from shared_lib.domain.money import Money
from shared_lib.domain.order import BillingReason, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus
from shared_lib.domain.schedule import send_again_at
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import cycles, facts
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.desk import Desk


def send_back(desk: Desk, order: Order, payment: Payment, captured: Money, trace: str | None) -> None:
    """The order cannot be given for this money. If it still waited for some, it waits no longer."""
    desk.put(replace(payment, surplus=True, refund_reserved_minor=payment.captured_minor))
    desk.tell_of_order("billing.payment.surplus", order.id, facts.of_payment(payment, order), trace)
    if order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
        cycles.unwanted(desk, order.id)
    elif order.status is OrderStatus.PENDING:
        close_unpaid(desk, order.id, OrderEvent.CANCELED)
    if captured:
        _return(desk, order, payment, captured, trace)


def _return(desk: Desk, order: Order, payment: Payment, captured: Money, trace: str | None) -> None:
    refund = Refund(
        id=new_id("ref"),
        order_id=order.id,
        payment_id=payment.id,
        status=RefundStatus.REQUESTED,
        amount=captured,
        reason="surplus",
        access=RefundAccess.KEEP,
        surplus=True,
        requested_by="boxoffice",
        created_at=desk.now,
        next_check_at=send_again_at(desk.now, 2),
    )
    desk.put(refund)
    desk.tell_of_order("billing.refund.requested", order.id, facts.of_refund(refund, order), trace)
    desk.ask_for(facts.start_refund_job(refund, order.customer_id))
