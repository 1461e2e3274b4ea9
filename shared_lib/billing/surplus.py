"""Surplus: money that no order needs. It is recorded, reserved and returned without a request."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing import facts, jobs
from shared_lib.billing.attempts import next_attempt
from shared_lib.billing.case import Case
from shared_lib.billing.reasons import reason_of
from shared_lib.billing.reports import PaymentSnapshot
from shared_lib.domain import ledger
from shared_lib.domain.lease import Lease
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Payment, PaymentStatus
from shared_lib.domain.refund import REFUND, Refund, RefundAccess, RefundEvent, RefundStatus
from shared_lib.domain.schedule import return_again_at, send_again_at
from shared_lib.domain.values import replace
from shared_lib.ids import new_id

SUPERSEDED = "superseded"
"""Why a refund failed that surely was not sent: another one took its place."""


# ---- money comes in ------------------------------------------------------------------------------------------


def send_back(
    case: Case, payment: Payment, trace: str | None, *, as_asked: bool = True, returned_minor: int = 0
) -> Case:
    """The order cannot be given for this money. If it still waited for some, it waits no longer.

    `as_asked` False: another amount was captured than the order needs. `returned_minor` went back already, by another
    hand than ours.
    """
    order = case.order_of(payment)
    payment = replace(payment, surplus=True, refund_reserved_minor=payment.captured_minor)
    captured = Money(payment.captured_minor, payment.amount.currency)
    case = case.put(payment).record(facts.payment_surplus(payment, order, captured, trace))
    case = reason_of(order).not_needed(case, order, payment, as_asked=as_asked)
    return _return(case, payment, captured.minor - returned_minor, trace)


def record_more(case: Case, payment: Payment, snapshot: PaymentSnapshot, trace: str | None) -> Case:
    """A payment that had succeeded captured more. What was delivered for it stays; the rest goes back."""
    order = case.order_of(payment)
    more = Money(snapshot.captured.minor - payment.captured_minor, payment.amount.currency)
    grown = replace(
        payment,
        captured_minor=snapshot.captured.minor,
        refund_reserved_minor=payment.refund_reserved_minor + more.minor,
    )
    entry = ledger.captured_more(
        payment.id, order.id, payment.provider, more, captured_minor=grown.captured_minor
    )
    case = case.log(
        "error",
        "payment_not_as_asked",
        payment_id=payment.id,
        order_id=order.id,
        why=f"captured {more} more than is booked, {snapshot.captured} altogether",
    )
    case = case.put(grown).record(entry, facts.payment_surplus(grown, order, more, trace))
    return _return(case, grown, more.minor, trace)


def record_another(case: Case, ours: Payment, snapshot: PaymentSnapshot, trace: str | None) -> Case:
    """The provider has a second payment under our id. Its money becomes a payment of its own, and goes back.

    Without money it changes nothing: a canceled twin says nothing about the payment that the customer was sent to.
    """
    order, captured = case.order_of(ours), snapshot.captured
    ids = {"payment_id": ours.id, "order_id": order.id, "ref": snapshot.ref.provider_payment_id}
    if not captured:
        return case.log("warning", "payment_under_our_id", state=snapshot.state, captured=0, **ids)
    another = replace(
        next_attempt(case, order, ours.flow, check_at=None),
        provider=snapshot.ref.provider,
        status=PaymentStatus.SUCCEEDED,
        amount=snapshot.amount,
        surplus=True,
        provider_ref=snapshot.ref.provider_payment_id,
        provider_capture_ref=snapshot.ref.capture_id,
        captured_minor=captured.minor,
        refund_reserved_minor=captured.minor,
    )
    entry = ledger.captured(another.id, order.id, another.provider, captured, surplus=True)
    case = case.log("error", "payment_under_our_id", state=snapshot.state, captured=str(captured), **ids)
    case = case.put(another).record(entry, facts.payment_surplus(another, order, captured, trace))
    case = _return(case, another, captured.minor - snapshot.refunded.minor, trace)
    return look_for_refunds(case, another) if snapshot.refunded else case


def look_for_refunds(case: Case, payment: Payment) -> Case:
    """The provider gave back more than we know of: ask it for its refunds, to adopt them."""
    return case.record(jobs.find_refunds(payment, case.order_of(payment)))


def _return(case: Case, payment: Payment, minor: int, trace: str | None) -> Case:
    """Ask for it back at once. It is reserved already."""
    if minor <= 0:
        return case
    order, refund = case.order_of(payment), _surplus_refund(case, payment, minor)
    return case.put(refund).record(
        facts.refund_requested(refund, order, trace), jobs.start_refund(refund, order)
    )


# ---- money that is held --------------------------------------------------------------------------------------


def surplus_held(case: Case, payment: Payment) -> int:
    """Minor units of a payment's surplus that no refund has returned or is returning."""
    returned = sum(
        refund.amount.minor
        for refund in _surplus_refunds(case, payment)
        if refund.status not in (RefundStatus.FAILED, RefundStatus.REJECTED)
    )
    return payment.surplus_minor - returned


def surplus_waiting(case: Case, payment: Payment) -> int:
    """Minor units of it that wait in refunds which surely were not sent."""
    waiting = (it for it in _surplus_refunds(case, payment) if it.status is RefundStatus.REQUESTED)
    return sum(it.amount.minor for it in waiting)


def withdraw_waiting(case: Case, payment: Payment) -> Case:
    """Give up refunds of the surplus that surely were not sent: another one takes their place."""
    withdrawn = [
        replace(
            refund,
            status=REFUND.after(refund.status, RefundEvent.FAILED),
            failure_reason=SUPERSEDED,
            lease=refund.lease.released(),
        )
        for refund in _surplus_refunds(case, payment)
        if refund.status is RefundStatus.REQUESTED
    ]
    return case.put(*withdrawn) if withdrawn else case


def keep_returning(case: Case, payment: Payment) -> Case:
    """Ask again for what is held and no refund returns: a new refund, so a new key, later each time; then an operator."""
    held, order = surplus_held(case, payment), case.order_of(payment)
    if held <= 0:
        return case
    failures = sum(
        refund.status is RefundStatus.FAILED and refund.failure_reason != SUPERSEDED
        for refund in _surplus_refunds(case, payment)
    )
    again_at = return_again_at(case.now, failures) if failures else send_again_at(case.now, 0)
    if again_at is None:
        return case.log("error", "surplus_held", payment_id=payment.id, order_id=order.id, held_minor=held)
    refund = _surplus_refund(case, payment, held)
    refund = replace(refund, lease=refund.lease.due_at(again_at))
    return case.put(refund).record(facts.refund_requested(refund, order))


def _surplus_refund(case: Case, payment: Payment, minor: int) -> Refund:
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
        created_at=case.now,
        lease=Lease(next_check_at=send_again_at(case.now, 2)),
    )


def _surplus_refunds(case: Case, payment: Payment) -> Sequence[Refund]:
    return [refund for refund in case.refunds_of(payment) if refund.surplus]
