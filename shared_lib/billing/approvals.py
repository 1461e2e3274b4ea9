"""Refunds above what one operator may give back alone: a second one approves or rejects them."""

from __future__ import annotations

from collections.abc import Collection

from shared_lib.billing import facts
from shared_lib.billing.case import Case
from shared_lib.billing.leasing import LeasedRefund, LeaseRequest, lease_refund
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.lease import Lease
from shared_lib.domain.refund import REFUND, Refund, RefundEvent, RefundStatus
from shared_lib.domain.values import Value, replace


class DecideRefund(Value, kw_only=True):
    """An operator's decision about a refund that waits. `rejected_because` None: they approve it."""

    refund_id: str
    operator_id: str
    rejected_because: str | None = None
    providers: Collection[str] | None = None  # those that can be asked; None: any

    @property
    def approves(self) -> bool:
        return self.rejected_because is None


class DecidedRefund(Value, kw_only=True):
    """`to_ask`: it is approved just now, and ours to send. None: it is rejected, or was decided before."""

    refund: Refund
    to_ask: LeasedRefund | None = None


def hold(refund: Refund) -> Refund:
    """The refund as it waits: its amount is reserved, and no worker comes back to it."""
    status = REFUND.after(RefundStatus.REQUESTED, RefundEvent.HELD)
    return replace(refund, status=status, lease=Lease())


def decide_refund(case: Case, refund: Refund, want: DecideRefund) -> tuple[Case, DecidedRefund | Refusal]:
    """Approve the refund, which leases it to be sent, or reject it, which frees its money."""
    order = case.order_of(refund)
    if order.customer_id == want.operator_id:
        return case, Refusal(Code.REFUND_OWN_ORDER, "This order is your own: another operator decides.")
    if refund.status is not RefundStatus.AWAITING_APPROVAL:
        return case, _decided_before(refund, want)
    if want.approves and refund.requested_by == want.operator_id:
        return case, Refusal(Code.REFUND_SAME_PERSON, "You have asked for it: another operator approves.")
    decided = replace(
        refund,
        status=REFUND.after(refund.status, RefundEvent.APPROVED if want.approves else RefundEvent.REJECTED),
        decided_by=want.operator_id,
        decided_at=case.now,
        failure_reason=want.rejected_because,
        lease=refund.lease.due_at(case.now if want.approves else None),
    )
    case = case.put(decided)
    if not want.approves:
        payment = case.payment_of(refund)
        left = payment.refund_reserved_minor - refund.amount.minor
        case = case.put(replace(payment, refund_reserved_minor=left))
        return case.record(facts.refund_rejected(decided, order)), DecidedRefund(refund=decided)
    case = case.record(facts.refund_approved(decided, order))
    case, leased = lease_refund(case, decided, LeaseRequest(id=refund.id, providers=want.providers))
    # What cannot be sent now is found by reconcile, as any refund that is requested.
    to_ask = leased if isinstance(leased, LeasedRefund) else None
    return case, DecidedRefund(refund=case.refunds[refund.id], to_ask=to_ask)


def _decided_before(refund: Refund, want: DecideRefund) -> DecidedRefund | Refusal:
    """The same decision of the same operator again is no second one."""
    repeated = refund.decided_by == want.operator_id
    if repeated and want.approves is (refund.status is not RefundStatus.REJECTED):
        return DecidedRefund(refund=refund)
    return Refusal(Code.REFUND_NOT_AWAITING, f"This refund is {refund.status}.")
