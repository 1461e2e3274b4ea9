"""Money that no order needs: recorded, reserved and returned without a request. Works on rows the caller has locked."""

from __future__ import annotations

import structlog

from shared_lib.domain import ledger
from shared_lib.domain.money import Money
from shared_lib.domain.order import BillingReason, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import Payment, PaymentStatus
from shared_lib.domain.refund import REFUND, Refund, RefundAccess, RefundEvent, RefundStatus
from shared_lib.domain.schedule import return_again_at, send_again_at
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import cycles, facts
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.desk import Desk
from shared_lib.providers.base import PaymentSnapshot

log = structlog.get_logger(__name__)


def send_back(
    desk: Desk, payment: Payment, trace: str | None, *, as_asked: bool = True, returned_minor: int = 0
) -> None:
    """The order cannot be given for this money. If it still waited for some, it waits no longer.

    `as_asked` False: another amount was captured than the order needs. A renewal then goes on like after a decline.
    `returned_minor` went back already, by another hand than ours.
    """
    order = desk.orders[payment.order_id]
    desk.put(replace(payment, surplus=True, refund_reserved_minor=payment.captured_minor))
    captured = Money(payment.captured_minor, payment.amount.currency)
    _tell(desk, payment, captured, trace)
    if order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
        waits = cycles.of(desk, order).open_order_id == order.id and order.status is OrderStatus.PENDING
        if waits and not as_asked:
            cycles.declined(desk, payment, 0, None)
        else:
            cycles.unwanted(desk, order.id)
    elif order.status is OrderStatus.PENDING:
        close_unpaid(desk, order.id, OrderEvent.CANCELED)
    return_surplus(desk, desk.payments[payment.id], captured.minor - returned_minor, trace)


def record_more(desk: Desk, payment: Payment, said: PaymentSnapshot, trace: str | None) -> None:
    """A payment that had succeeded captured more. What was delivered for it stays; the rest goes back."""
    more = Money(said.captured.minor - payment.captured_minor, payment.amount.currency)
    log.error(
        "payment_not_as_asked",
        payment_id=payment.id,
        order_id=payment.order_id,
        why=f"captured {more} more than is booked, {said.captured} altogether",
    )
    grown = replace(
        payment,
        captured_minor=said.captured.minor,
        refund_reserved_minor=payment.refund_reserved_minor + more.minor,
    )
    desk.put(grown)
    entry = ledger.captured_more(
        payment.id, payment.order_id, payment.provider, more, captured_minor=grown.captured_minor
    )
    desk.enter(entry)
    _tell(desk, grown, more, trace)
    return_surplus(desk, grown, more.minor, trace)


def record_another(desk: Desk, ours: Payment, said: PaymentSnapshot, trace: str | None) -> None:
    """The provider has a second payment under our id. Its money becomes a payment of its own, and goes back.

    Without money it changes nothing: a canceled twin says nothing about the payment that the customer was sent to.
    """
    facts_of_it = {"payment_id": ours.id, "order_id": ours.order_id, "ref": said.ref.provider_payment_id}
    if not said.captured:
        log.warning("payment_under_our_id", state=said.state, captured=0, **facts_of_it)
        return
    log.error("payment_under_our_id", state=said.state, captured=str(said.captured), **facts_of_it)
    another = Payment(
        id=new_id("pay"),
        order_id=ours.order_id,
        provider=said.ref.provider,
        flow=ours.flow,
        status=PaymentStatus.SUCCEEDED,
        amount=said.amount,
        attempt=1 + max(payment.attempt for payment in desk.payments_of(ours.order_id)),
        created_at=desk.now,
        surplus=True,
        provider_ref=said.ref.provider_payment_id,
        provider_capture_ref=said.ref.capture_id,
        captured_minor=said.captured.minor,
        refund_reserved_minor=said.captured.minor,
    )
    desk.put(another)
    entry = ledger.captured(another.id, another.order_id, another.provider, said.captured, surplus=True)
    desk.enter(entry)
    _tell(desk, another, said.captured, trace)
    return_surplus(desk, another, said.captured.minor - said.refunded.minor, trace)
    look_for_refunds(desk, another, said)


def look_for_refunds(desk: Desk, payment: Payment, said: PaymentSnapshot) -> None:
    """The provider gave back more than we know of: ask it for its refunds, to adopt them."""
    if said.refunded.minor > payment.refunded_minor:
        order = desk.orders[payment.order_id]
        desk.ask_for(facts.find_refunds_job(payment, order.customer_id))


def return_surplus(desk: Desk, payment: Payment, minor: int, trace: str | None) -> None:
    """Ask for it back at once. It is reserved already."""
    if minor <= 0:
        return
    order = desk.orders[payment.order_id]
    refund = surplus_refund(desk, payment, minor)
    desk.put(refund)
    desk.tell_of_order("billing.refund.requested", order.id, facts.of_refund(refund, order), trace)
    desk.ask_for(facts.start_refund_job(refund, order.customer_id))


def surplus_refund(desk: Desk, payment: Payment, minor: int) -> Refund:
    """A refund that was not sent yet; reconcile sends it should its job be lost."""
    return Refund(
        id=new_id("ref"),
        order_id=payment.order_id,
        payment_id=payment.id,
        status=RefundStatus.REQUESTED,
        amount=Money(minor, payment.amount.currency),
        reason="surplus",
        access=RefundAccess.KEEP,
        surplus=True,
        requested_by="boxoffice",
        created_at=desk.now,
        next_check_at=send_again_at(desk.now, 2),
    )


SUPERSEDED = "superseded"


def surplus_held(desk: Desk, payment: Payment) -> int:
    """What of a payment's surplus no refund has returned or is returning. All refunds of its order are on the desk."""
    returned = sum(
        it.amount.minor
        for it in _surplus_refunds(desk, payment)
        if it.status not in (RefundStatus.FAILED, RefundStatus.REJECTED)
    )
    return payment.surplus_minor - returned


def surplus_waiting(desk: Desk, payment: Payment) -> int:
    """What of it waits in refunds that surely were not sent."""
    waiting = (it for it in _surplus_refunds(desk, payment) if it.status is RefundStatus.REQUESTED)
    return sum(it.amount.minor for it in waiting)


def withdraw_waiting(desk: Desk, payment: Payment) -> None:
    """Give up refunds of the surplus that surely were not sent: another one takes their place."""
    for refund in _surplus_refunds(desk, payment):
        if refund.status is RefundStatus.REQUESTED:
            withdrawn = replace(
                refund,
                status=REFUND.after(refund.status, RefundEvent.FAILED),
                failure_reason=SUPERSEDED,
                next_check_at=None,
                lease_until=None,
            )
            desk.put(withdrawn)


def keep_returning(desk: Desk, payment: Payment) -> None:
    """What is held and no refund returns is asked for again: a new refund, so a new key, later each time; then an operator."""
    held = surplus_held(desk, payment)
    if held <= 0:
        return
    failures = sum(
        it.status is RefundStatus.FAILED and it.failure_reason != SUPERSEDED
        for it in _surplus_refunds(desk, payment)
    )
    again_at = return_again_at(desk.now, failures) if failures else send_again_at(desk.now, 0)
    if again_at is None:
        log.error("surplus_held", payment_id=payment.id, order_id=payment.order_id, held_minor=held)
        return
    order = desk.orders[payment.order_id]
    refund = replace(surplus_refund(desk, payment, held), next_check_at=again_at)
    desk.put(refund)
    desk.tell_of_order("billing.refund.requested", order.id, facts.of_refund(refund, order))


def _surplus_refunds(desk: Desk, payment: Payment) -> list[Refund]:
    return [it for it in desk.refunds.values() if it.payment_id == payment.id and it.surplus]


def _tell(desk: Desk, payment: Payment, captured: Money, trace: str | None) -> None:
    order: Order = desk.orders[payment.order_id]
    told = facts.of_payment(payment, order, amount=facts.money(captured))
    desk.tell_of_order("billing.payment.surplus", order.id, told, trace)
