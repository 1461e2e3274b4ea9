"""What an observation of a refund does to everything around it. Shared by the phases that settle refunds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from shared_lib.domain import ledger
from shared_lib.domain.order import ORDER, refund_event
from shared_lib.domain.refund import REFUND, Refund, RefundStatus
from shared_lib.domain.schedule import ask_unknown_at, look_at_pending_at, send_again_at
from shared_lib.domain.state_machine import NoSuchEdge
from shared_lib.domain.values import replace
from shared_lib.phases import access, facts
from shared_lib.phases.desk import Desk
from shared_lib.phases.observations import ObservedRefund, Silence, refund_event_of
from shared_lib.phases.surplus import keep_returning
from shared_lib.providers.base import RefundSnapshot

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRefund:
    """Where the refund stands now. `alarm`: the news contradict what we know; ask the provider before believing."""

    refund: Refund
    alarm: bool = False


def apply_refund(desk: Desk, observed: ObservedRefund) -> SettledRefund:
    """Walk one edge. Entitlements of the order are on the desk."""
    refund, event = desk.refunds[observed.refund_id], refund_event_of(observed.said)
    if isinstance(observed.said, Silence) and observed.fence not in (None, refund.fence):
        return SettledRefund(refund=refund)
    if isinstance(observed.said, RefundSnapshot) and observed.said.amount != refund.amount:
        log.warning("refund_contradiction", refund_id=refund.id, said=str(observed.said.amount))
        return SettledRefund(refund=refund, alarm=True)
    try:
        status = REFUND.after(refund.status, event)
    except NoSuchEdge as error:
        log.warning("refund_contradiction", refund_id=refund.id, why=str(error))
        return SettledRefund(refund=refund, alarm=True)
    before = refund.status
    desk.put(_noted(desk, refund, status, observed.said))
    if status is RefundStatus.SUCCEEDED and before is not status:
        _returned(desk, refund.id)
    elif status is RefundStatus.FAILED and before is not status:
        _failed(desk, refund.id, was_succeeded=before is RefundStatus.SUCCEEDED)
        if observed.said is Silence.REFUSED:  # perhaps it was given back by another hand before
            order = desk.orders[refund.order_id]
            desk.ask_for(facts.find_refunds_job(desk.payments[refund.payment_id], order.customer_id))
    return SettledRefund(refund=desk.refunds[refund.id])


def _noted(desk: Desk, refund: Refund, status: RefundStatus, said: RefundSnapshot | Silence) -> Refund:
    snapshot = said if isinstance(said, RefundSnapshot) else None
    failed = status is RefundStatus.FAILED
    reason = snapshot.reason if snapshot else said
    return replace(
        refund,
        status=status,
        provider_ref=refund.provider_ref or (snapshot.provider_refund_id if snapshot else None),
        failure_reason=(str(reason) if reason else "unknown") if failed else None,
        lease_until=None,
        checks=refund.checks + 1,
        next_check_at=_next_check(desk.now, status, refund.checks),
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


def _returned(desk: Desk, refund_id: str) -> None:
    refund = desk.refunds[refund_id]
    payment, order = desk.payments[refund.payment_id], desk.orders[refund.order_id]
    payment = replace(payment, refunded_minor=payment.refunded_minor + refund.amount.minor)
    desk.put(payment)
    desk.enter(ledger.refunded(refund.id, order.id, payment.provider, refund.amount, surplus=refund.surplus))
    desk.tell_of_order("billing.refund.succeeded", order.id, facts.of_refund(refund, order))
    if refund.surplus:
        return
    _restate_order(desk, refund)
    access.end(desk, refund)


def _failed(desk: Desk, refund_id: str, *, was_succeeded: bool) -> None:
    """The money stays with the provider: free the reservation, and take back what was recorded as returned.

    Surplus stays reserved: it is not ours, and is returned another time.
    """
    refund = desk.refunds[refund_id]
    payment, order = desk.payments[refund.payment_id], desk.orders[refund.order_id]
    reserved = payment.refund_reserved_minor - (0 if refund.surplus else refund.amount.minor)
    freed = replace(payment, refund_reserved_minor=reserved)
    if was_succeeded:
        freed = replace(freed, refunded_minor=freed.refunded_minor - refund.amount.minor)
        entry = ledger.refund_returned(
            refund.id, order.id, payment.provider, refund.amount, surplus=refund.surplus
        )
        desk.enter(entry)
    desk.put(freed)
    desk.tell_of_order("billing.refund.failed", order.id, facts.of_refund(refund, order))
    if refund.surplus:
        keep_returning(desk, freed)
    if was_succeeded and not refund.surplus:
        _restate_order(desk, refund)
        access.give_back(desk, refund)


def _restate_order(desk: Desk, refund: Refund) -> None:
    order, payment = desk.orders[refund.order_id], desk.payments[refund.payment_id]
    if payment.id != order.paid_payment_id:
        return
    # Without what was captured beyond the price, and what of that went back.
    returned = sum(
        it.amount.minor
        for it in desk.refunds.values()
        if it.payment_id == payment.id and it.status is RefundStatus.SUCCEEDED and not it.surplus
    )
    status = ORDER.after(order.status, refund_event(payment.captured_minor - payment.surplus_minor, returned))
    restated = replace(order, status=status)
    desk.put(restated)
    refunded = replace(refund.amount, minor=returned)
    data = facts.of_order(restated, refunded=facts.money(refunded))
    desk.tell_of_order("billing.order.refunded", order.id, data)
