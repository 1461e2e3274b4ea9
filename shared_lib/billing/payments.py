"""Settling a payment: what a report about it does to its case. The only place where collected money is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from shared_lib.billing import facts, links, starts
from shared_lib.billing.case import Case, MethodDisabled, MethodKept, TrialReleased
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.reasons import reason_of
from shared_lib.billing.reports import (
    LocalOutcome,
    PaymentReport,
    PaymentSnapshot,
    Proof,
    is_about_another,
    judge,
    payment_event,
)
from shared_lib.billing.surplus import look_for_refunds, record_another, record_more, send_back
from shared_lib.billing.waiting import STILL_WAITING, wait
from shared_lib.domain import ledger
from shared_lib.domain.money import Money
from shared_lib.domain.order import ORDER, Order, OrderEvent
from shared_lib.domain.payment import PAYMENT, DeclineKind, Payment, PaymentEvent, PaymentStatus
from shared_lib.domain.state_machine import NoSuchEdge
from shared_lib.domain.values import replace

# There is no charge, so there was no bank to decline it: what its customer can do about it.
_NOT_CHARGEABLE: Final[Mapping[LocalOutcome, str]] = {
    LocalOutcome.NO_METHOD: links.NO_METHOD,
    LocalOutcome.METHOD_REMOVED: LocalOutcome.METHOD_REMOVED,
    LocalOutcome.METHOD_REFUSED: LocalOutcome.METHOD_REFUSED,
    LocalOutcome.METHOD_UNKNOWN: LocalOutcome.METHOD_UNKNOWN,
    LocalOutcome.TOO_SMALL: LocalOutcome.TOO_SMALL,
}


class Settled(NamedTuple):
    """The case after a report, and the payment that the report was about.

    `alarm`: the report contradicts what we know; ask the provider before believing it.
    """

    case: Case
    payment: Payment
    alarm: bool = False

    @property
    def order(self) -> Order:
        return self.case.order_of(self.payment)


def settle(case: Case, report: PaymentReport, context: SettlementContext) -> Settled:
    """Walk one edge of the payment. Old news changes nothing but what only grows."""
    payment, outcome = case.payments[report.payment_id], report.outcome
    if isinstance(outcome, LocalOutcome):
        if report.fence not in (None, payment.lease.fence):
            return Settled(case, payment)  # another process holds the lease now
        return _walk(case, payment, report, context, Proof.AS_ASKED)
    if is_about_another(payment, outcome):
        settled = _settle_another(case, payment, report, outcome, context)
    else:
        settled = _believe(case, payment, report, outcome, context)
    for another in outcome.others:
        beside = _settle_another(settled.case, settled.payment, report, another, context)
        settled = Settled(beside.case, beside.case.payments[payment.id], settled.alarm)
    return settled


def _believe(
    case: Case, payment: Payment, report: PaymentReport, snapshot: PaymentSnapshot, context: SettlementContext
) -> Settled:
    """`snapshot` is about this payment. How much of it is true?"""
    finding = judge(payment, snapshot, asked=report.asked)
    if finding.proof is Proof.CONTRADICTION:
        return _doubt(case, payment, report, finding.why)
    if finding.proof is Proof.MORE_MONEY:
        case = record_more(case, payment, snapshot, report.trace)
        settled = Settled(case, case.payments[payment.id])
    else:
        if finding.proof is Proof.OTHER_MONEY:
            ids = {"payment_id": payment.id, "order_id": payment.order_id}
            case = case.log("error", "payment_not_as_asked", why=finding.why, **ids)
        settled = _walk(case, payment, report, context, finding.proof)
    if snapshot.refunded.minor <= settled.payment.refunded_minor:
        return settled
    return settled._replace(case=look_for_refunds(settled.case, settled.payment))


def _settle_another(
    case: Case, payment: Payment, report: PaymentReport, snapshot: PaymentSnapshot, context: SettlementContext
) -> Settled:
    """The provider has a second object under our id. What it says is never about this payment."""
    for sibling in case.payments_of(case.order_of(payment)):
        if sibling.provider_ref and not is_about_another(sibling, snapshot):
            about_it = replace(report, payment_id=sibling.id, outcome=snapshot)
            return _believe(case, sibling, about_it, snapshot, context)
    if snapshot.captured and not report.asked:
        captured = f"{snapshot.ref.provider_payment_id} captured {snapshot.captured} under our id"
        return _alarm(case, payment, captured)
    return Settled(record_another(case, payment, snapshot, report.trace), payment)


def _walk(
    case: Case, payment: Payment, report: PaymentReport, context: SettlementContext, proof: Proof
) -> Settled:
    outcome = report.outcome
    event = PaymentEvent.SUCCEEDED if proof is Proof.OTHER_MONEY else payment_event(outcome)
    try:
        status = PAYMENT.after(payment.status, event)
    except NoSuchEdge as error:
        return _doubt(case, payment, report, str(error))
    noted = _noted(payment, status, outcome)
    if status is not payment.status:
        case = _moved(case, noted, event, report, context, as_asked=proof is Proof.AS_ASKED)
    elif payment.is_live and event in STILL_WAITING:
        case = wait(case, noted, event, report.trace, _snapshot(report))
    elif noted is not payment:
        case = case.put(noted)
    return Settled(case, case.payments[payment.id])


def _noted(payment: Payment, status: PaymentStatus, outcome: PaymentSnapshot | LocalOutcome) -> Payment:
    """The payment with its new status and what only grows: refs are kept, captured money never shrinks."""
    if isinstance(outcome, LocalOutcome):
        noted = replace(payment, status=status) if status is not payment.status else payment
        if reason := _NOT_CHARGEABLE.get(outcome):
            return replace(noted, decline_kind=DeclineKind.ACTION_REQUIRED, decline_reason=reason)
        if outcome is LocalOutcome.INPUT_REFUSED and status is not payment.status:
            return replace(noted, decline_reason=LocalOutcome.INPUT_REFUSED)
        return noted
    decline = outcome.decline if status is PaymentStatus.DECLINED else None
    # Money in another currency than was asked for is shown and returned in its own.
    in_other_currency = bool(outcome.captured) and outcome.captured.currency != payment.amount.currency
    return replace(
        payment,
        status=status,
        provider_ref=payment.provider_ref or outcome.ref.provider_payment_id,
        provider_capture_ref=outcome.ref.capture_id or payment.provider_capture_ref,
        checkout_url=outcome.checkout_url or payment.checkout_url,
        amount=outcome.amount if in_other_currency else payment.amount,
        captured_minor=max(payment.captured_minor, outcome.captured.minor),
        decline_kind=decline.kind if decline else payment.decline_kind,
        decline_reason=decline.reason if decline else payment.decline_reason,
    )


def _moved(
    case: Case,
    payment: Payment,
    event: PaymentEvent,
    report: PaymentReport,
    context: SettlementContext,
    *,
    as_asked: bool,
) -> Case:
    """The payment has its new status, and is put into the case with what follows from it."""
    order = case.order_of(payment)
    match payment.status:
        case PaymentStatus.SUCCEEDED:
            return _collected(case, payment, report, context, as_asked=as_asked)
        case PaymentStatus.DECLINED:
            return _declined(case, payment, report, context)
        case PaymentStatus.CANCELED | PaymentStatus.EXPIRED:
            decided = _decided(payment)
            case = case.put(decided)
            # Where it is surplus, the order is paid by another one.
            return case if payment.surplus else reason_of(order).abandoned(case, order, decided, event)
        case PaymentStatus.PENDING | PaymentStatus.ACTION_REQUIRED:
            case = wait(case, payment, event, report.trace, _snapshot(report))
            return reason_of(order).handed_over(case, order, case.payments[payment.id])
        case PaymentStatus.UNKNOWN | PaymentStatus.CREATED:
            return wait(case, payment, event, report.trace)
        case PaymentStatus.SENDING:
            raise AssertionError("only taking a lease makes a payment sending")


def _collected(
    case: Case, payment: Payment, report: PaymentReport, context: SettlementContext, *, as_asked: bool
) -> Case:
    """Money came in: deliver what was ordered, or return the money."""
    order, snapshot, payment = case.order_of(payment), _snapshot(report), _decided(payment)
    case = _keep_method(case.put(payment), order, snapshot, context)
    may_be_paid = (
        as_asked and not payment.surplus and ORDER.allows(order.status, OrderEvent.PAYMENT_SUCCEEDED)
    )
    wanted = may_be_paid and reason_of(order).may_deliver(case, order, payment, context)
    captured = Money(payment.captured_minor, payment.amount.currency)
    case = case.record(ledger.captured(payment.id, order.id, payment.provider, captured, surplus=not wanted))
    if not wanted:
        if order.id in context.trials.identities:
            case = case.record(TrialReleased(order.id))
        returned = snapshot.refunded.minor if snapshot else 0
        return send_back(case, payment, report.trace, as_asked=as_asked, returned_minor=returned)
    if not context.trials.may_begin(order):
        return starts.refuse_trial(case, order, payment)
    return reason_of(order).deliver(case, order, payment, context, report)


def _keep_method(
    case: Case, order: Order, snapshot: PaymentSnapshot | None, context: SettlementContext
) -> Case:
    if snapshot is None or snapshot.saved_method is None:
        return case
    method_id = context.method_id(snapshot)
    if method_id is None or method_id not in context.new_methods:
        return case
    return case.record(MethodKept(method_id, order.customer_id, snapshot.saved_method))


def _declined(case: Case, payment: Payment, report: PaymentReport, context: SettlementContext) -> Case:
    order, payment = case.order_of(payment), _decided(payment)
    case = case.put(payment)
    if payment.decline_kind is DeclineKind.HARD and payment.payment_method_id:
        case = case.record(MethodDisabled(payment.payment_method_id))
    case, retry_at = reason_of(order).declined(case, order, payment, context, report)
    return case.record(facts.payment_declined(payment, order, retry_at, report.trace))


def _decided(payment: Payment) -> Payment:
    return replace(payment, lease=payment.lease.released())


def _doubt(case: Case, payment: Payment, report: PaymentReport, why: str) -> Settled:
    """Nothing is believed. A payment that we asked about is asked about again, later each time."""
    asked_now = report.fence is not None and report.fence == payment.lease.fence
    if asked_now and PAYMENT.allows(payment.status, PaymentEvent.TIMED_OUT) and payment.is_live:
        unknown = replace(payment, status=PAYMENT.after(payment.status, PaymentEvent.TIMED_OUT))
        case = wait(case.put(unknown), unknown, PaymentEvent.TIMED_OUT, report.trace)
    return _alarm(case, case.payments[payment.id], why)


def _alarm(case: Case, payment: Payment, why: str) -> Settled:
    case = case.log(
        "error", "payment_contradiction", payment_id=payment.id, order_id=payment.order_id, why=why
    )
    return Settled(case, payment, alarm=True)


def _snapshot(report: PaymentReport) -> PaymentSnapshot | None:
    return report.outcome if isinstance(report.outcome, PaymentSnapshot) else None
