"""Refunds that were not made by us: in the provider's dashboard, or before a backup was restored. Adopted as our own.

The default for access is an operator's: what makes the refund of an order complete ends access, a part keeps it.
"""

from __future__ import annotations

from shared_lib.billing import facts
from shared_lib.billing.case import Case
from shared_lib.billing.refunds import settle_refund
from shared_lib.billing.reports import RefundReport, RefundSnapshot, RefundState
from shared_lib.billing.surplus import keep_returning, surplus_held, surplus_waiting, withdraw_waiting
from shared_lib.domain.lease import Lease
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus
from shared_lib.domain.values import Value, replace
from shared_lib.ids import new_id

BY_PROVIDER = "provider"
_GAVE_NOTHING_BACK = frozenset({RefundState.FAILED, RefundState.CANCELED})


class FoundRefund(Value, kw_only=True):
    """A refund as the provider lists it, of this payment of ours."""

    payment_id: str
    outcome: RefundSnapshot


def settle_found(case: Case, payment: Payment, snapshot: RefundSnapshot, *, asked: bool) -> tuple[Case, bool]:
    """Settle a snapshot of a refund of this payment: one of ours, or one to adopt. False: it contradicts what we know.

    `asked`: the provider answered a question just now. Before a refund is adopted its payment is looked at: what it
    returns may be money that we have not heard of.
    """
    known = _known(case, payment, snapshot)
    if known is None and not payment.captured_minor and snapshot.state in _GAVE_NOTHING_BACK:
        return case, True  # it gave nothing back of nothing: refunds are of money that came
    if known is None and asked:
        case, known = _adopt(case, payment, snapshot)
    if known is None:
        return case, False
    settled = settle_refund(case, RefundReport(refund_id=known.id, outcome=snapshot))
    return settled.case, not settled.alarm


def _known(case: Case, payment: Payment, snapshot: RefundSnapshot) -> Refund | None:
    """Ours by the provider's id, else by the id that we gave it; then it must not have another id of the provider."""
    refunds, theirs = case.refunds_of(payment), snapshot.provider_refund_id
    by_ref = (refund for refund in refunds if refund.provider_ref == theirs)
    by_id = (it for it in refunds if it.id == snapshot.our_refund_id and it.provider_ref is None)
    return next(by_ref, None) or next(by_id, None)


def _adopt(case: Case, payment: Payment, snapshot: RefundSnapshot) -> tuple[Case, Refund | None]:
    """A row for it, reserved. None while it is more than we know to be there."""
    moves_money = snapshot.state not in _GAVE_NOTHING_BACK
    if snapshot.amount.currency != payment.amount.currency or snapshot.amount.minor <= 0:
        return _refuse(case, payment, snapshot, "another currency, or nothing"), None
    held = surplus_held(case, payment) + surplus_waiting(case, payment)
    surplus = payment.surplus or snapshot.amount.minor <= held
    room = held if surplus else payment.refundable.minor
    if snapshot.amount.minor > room and moves_money:
        return _refuse(case, payment, snapshot, f"only {room} is left as far as we know"), None
    refund = _adopted(case, payment, snapshot, surplus=surplus)
    if surplus and moves_money:
        case = withdraw_waiting(case, payment)  # what we wanted to return has been returned by hand
    case = case.put(refund)
    if not surplus:
        reserved = payment.refund_reserved_minor + snapshot.amount.minor
        case = case.put(replace(payment, refund_reserved_minor=reserved))
    elif moves_money:
        case = keep_returning(case, payment)
    case = case.record(facts.refund_requested(refund, case.order_of(payment)))
    theirs = snapshot.provider_refund_id
    return case.log("info", "refund_adopted", refund_id=refund.id, payment_id=payment.id, ref=theirs), refund


def _adopted(case: Case, payment: Payment, snapshot: RefundSnapshot, *, surplus: bool) -> Refund:
    full = payment.refund_reserved_minor + snapshot.amount.minor >= payment.captured_minor
    return Refund(
        id=new_id("ref"),
        order_id=payment.order_id,
        payment_id=payment.id,
        status=RefundStatus.REQUESTED,
        amount=snapshot.amount,
        reason="made at the provider",
        access=RefundAccess.END_NOW if full and not surplus else RefundAccess.KEEP,
        surplus=surplus,
        requested_by=BY_PROVIDER,
        created_at=case.now,
        provider_ref=snapshot.provider_refund_id,
        lease=Lease(next_check_at=case.now),
    )


def _refuse(case: Case, payment: Payment, snapshot: RefundSnapshot, why: str) -> Case:
    return case.log(
        "error",
        "refund_beyond_captured",
        payment_id=payment.id,
        order_id=payment.order_id,
        ref=snapshot.provider_refund_id,
        said=str(snapshot.amount),
        why=why,
    )
