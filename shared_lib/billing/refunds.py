"""Settling a refund: what a report about it does to its case. The only place where returned money is recorded."""

from __future__ import annotations

from datetime import datetime

from shared_lib.billing import facts, jobs
from shared_lib.billing.access import end_access, give_access_back
from shared_lib.billing.case import Case
from shared_lib.billing.reports import LocalOutcome, RefundReport, RefundSnapshot, refund_event_of
from shared_lib.billing.surplus import keep_returning
from shared_lib.domain import ledger
from shared_lib.domain.order import ORDER, refund_event
from shared_lib.domain.refund import REFUND, Refund, RefundStatus
from shared_lib.domain.schedule import ask_unknown_at, look_at_pending_at, send_again_at
from shared_lib.domain.state_machine import NoSuchEdge
from shared_lib.domain.values import Value, replace


class SettledRefund(Value):
    """The case after a report, and the refund that the report was about.

    `alarm`: the report contradicts what we know; ask the provider before believing it.
    """

    case: Case
    refund: Refund
    alarm: bool = False


def settle_refund(case: Case, report: RefundReport) -> SettledRefund:
    """Walk one edge of the refund. Old news changes nothing but what only grows."""
    refund, outcome = case.refunds[report.refund_id], report.outcome
    if isinstance(outcome, LocalOutcome) and report.fence not in (None, refund.lease.fence):
        return SettledRefund(case, refund)  # another process holds the lease now
    if isinstance(outcome, RefundSnapshot) and outcome.amount != refund.amount:
        case = case.log("warning", "refund_contradiction", refund_id=refund.id, said=str(outcome.amount))
        return SettledRefund(case, refund, alarm=True)
    try:
        status = REFUND.after(refund.status, refund_event_of(outcome))
    except NoSuchEdge as error:
        case = case.log("warning", "refund_contradiction", refund_id=refund.id, why=str(error))
        return SettledRefund(case, refund, alarm=True)
    noted = _noted(case, refund, status, outcome)
    case = case.put(noted)
    if status is not refund.status:
        case = _moved(case, noted, refund.status, outcome)
    return SettledRefund(case, case.refunds[refund.id])


def _noted(
    case: Case, refund: Refund, status: RefundStatus, outcome: RefundSnapshot | LocalOutcome
) -> Refund:
    """The refund with its new status. It is looked at again while it is not decided, later each time."""
    snapshot = outcome if isinstance(outcome, RefundSnapshot) else None
    failed = status is RefundStatus.FAILED
    reason = snapshot.reason if snapshot else outcome
    return replace(
        refund,
        status=status,
        provider_ref=refund.provider_ref or (snapshot.provider_refund_id if snapshot else None),
        failure_reason=(str(reason) if reason else "unknown") if failed else None,
        lease=refund.lease.again(_next_check(case.now, status, refund.lease.checks)),
    )


def _next_check(now: datetime, status: RefundStatus, checks: int) -> datetime | None:
    match status:
        case RefundStatus.UNKNOWN:
            return ask_unknown_at(now, checks)
        case RefundStatus.REQUESTED:
            return send_again_at(now, checks)
        case RefundStatus.PENDING:
            return look_at_pending_at(now, checks)
        case _:
            return None


def _moved(case: Case, refund: Refund, before: RefundStatus, outcome: RefundSnapshot | LocalOutcome) -> Case:
    """The refund has its new status already; what follows from it?"""
    if refund.status is RefundStatus.SUCCEEDED:
        return _succeeded(case, refund)
    if refund.status is not RefundStatus.FAILED:
        return case
    case = _failed(case, refund, was_succeeded=before is RefundStatus.SUCCEEDED)
    if outcome is not LocalOutcome.REFUSED:
        return case
    # Perhaps the money was given back by another hand before.
    return case.record(jobs.find_refunds(case.payment_of(refund), case.order_of(refund)))


def _succeeded(case: Case, refund: Refund) -> Case:
    payment, order = case.payment_of(refund), case.order_of(refund)
    entry = ledger.refunded(refund.id, order.id, payment.provider, refund.amount, surplus=refund.surplus)
    case = case.put(replace(payment, refunded_minor=payment.refunded_minor + refund.amount.minor))
    case = case.record(entry, facts.refund_succeeded(refund, order))
    return case if refund.surplus else end_access(_restate_order(case, refund), refund)


def _failed(case: Case, refund: Refund, *, was_succeeded: bool) -> Case:
    """The money stays with the provider: free the reservation, and take back what was recorded as returned.

    A surplus stays reserved: it is not ours, and is returned another time.
    """
    payment, order = case.payment_of(refund), case.order_of(refund)
    reserved = payment.refund_reserved_minor - (0 if refund.surplus else refund.amount.minor)
    freed = replace(payment, refund_reserved_minor=reserved)
    if was_succeeded:
        freed = replace(freed, refunded_minor=freed.refunded_minor - refund.amount.minor)
        entry = ledger.refund_returned(
            refund.id, order.id, payment.provider, refund.amount, surplus=refund.surplus
        )
        case = case.record(entry)
    case = case.put(freed).record(facts.refund_failed(refund, order))
    if refund.surplus:
        return keep_returning(case, freed)
    return give_access_back(_restate_order(case, refund), refund) if was_succeeded else case


def _restate_order(case: Case, refund: Refund) -> Case:
    """How much of its price the order has back, where the refund is of the payment that paid it."""
    payment, order = case.payment_of(refund), case.order_of(refund)
    if payment.id != order.paid_payment_id:
        return case
    # Without what was captured beyond the price, and what of that went back.
    returned = sum(
        other.amount.minor
        for other in case.refunds_of(payment)
        if other.status is RefundStatus.SUCCEEDED and not other.surplus
    )
    event = refund_event(payment.captured_minor - payment.surplus_minor, returned)
    restated = replace(order, status=ORDER.after(order.status, event))
    return case.put(restated).record(facts.order_refunded(restated, replace(refund.amount, minor=returned)))
