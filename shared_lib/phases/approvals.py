"""Refunds above what one operator may give back alone: a second one approves or rejects them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.refund import REFUND, Refund, RefundEvent, RefundStatus
from shared_lib.domain.values import replace
from shared_lib.phases import facts
from shared_lib.phases.claims import Claim, ClaimedRefund, lease_refund
from shared_lib.phases.desk import Desk
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRefund:
    """An operator's word about a refund that waits. `rejected_because` None: they approve it."""

    refund_id: str
    operator_id: str
    rejected_because: str | None = None
    providers: Collection[str] | None = None  # those that can be asked; None: any


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRefund:
    """`to_ask`: it is approved just now, and ours to send. None: it is rejected, or was decided before."""

    refund: Refund
    to_ask: ClaimedRefund | None = None


def hold(refund: Refund) -> Refund:
    """The refund as it waits: its amount is reserved, and no worker comes back to it."""
    status = REFUND.after(RefundStatus.REQUESTED, RefundEvent.HELD)
    return replace(refund, status=status, fence=0, lease_until=None, first_sent_at=None, next_check_at=None)


async def decide_refunds(tx: Transaction, wanted: Sequence[DecideRefund]) -> list[DecidedRefund | Refusal]:
    """Approve refunds, which leases them to be sent, or reject them, which frees their money."""
    ids = sorted({want.refund_id for want in wanted})
    rows = await tx.fetch("SELECT order_id FROM refunds WHERE id = ANY(%s)", [ids])
    desk = Desk(tx)
    await desk.lock([row[0] for row in rows], refunds=True)
    answers = [_decide(desk, want) for want in wanted]
    desk.write()
    return answers


def _decide(desk: Desk, want: DecideRefund) -> DecidedRefund | Refusal:
    refund = desk.refunds.get(want.refund_id)
    if refund is None:
        return Refusal(Code.NOT_FOUND, "There is no such refund.")
    order = desk.orders[refund.order_id]
    if order.customer_id == want.operator_id:
        return Refusal(Code.REFUND_OWN_ORDER, "This order is your own: another operator decides.")
    approves = want.rejected_because is None
    if refund.status is not RefundStatus.AWAITING_APPROVAL:
        repeated = refund.decided_by == want.operator_id
        if repeated and approves is (refund.status is not RefundStatus.REJECTED):
            return DecidedRefund(refund=refund)
        return Refusal(Code.REFUND_NOT_AWAITING, f"This refund is {refund.status}.")
    if approves and refund.requested_by == want.operator_id:
        return Refusal(Code.REFUND_SAME_PERSON, "You have asked for it: another operator approves.")
    event = RefundEvent.APPROVED if approves else RefundEvent.REJECTED
    decided = replace(
        refund,
        status=REFUND.after(refund.status, event),
        decided_by=want.operator_id,
        decided_at=desk.now,
        failure_reason=want.rejected_because,
        next_check_at=desk.now if approves else None,
    )
    desk.put(decided)
    desk.tell_of_order(f"billing.refund.{event}", order.id, facts.of_refund(decided, order))
    if not approves:
        payment = desk.payments[refund.payment_id]
        left = payment.refund_reserved_minor - refund.amount.minor
        desk.put(replace(payment, refund_reserved_minor=left))
        return DecidedRefund(refund=decided)
    claimed = lease_refund(desk, Claim(id=refund.id, providers=want.providers))
    # What cannot be sent now is found by reconcile, as any refund that is requested.
    to_ask = claimed if isinstance(claimed, ClaimedRefund) else None
    return DecidedRefund(refund=desk.refunds[refund.id], to_ask=to_ask)
