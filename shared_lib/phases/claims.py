"""Leases on payments and refunds: who holds one may ask the provider, and only one does at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import PAYMENT, Payment, PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.refund import REFUND, Refund, RefundEvent, RefundStatus
from shared_lib.domain.schedule import LEASE
from shared_lib.domain.values import replace
from shared_lib.phases import cycles
from shared_lib.phases.collecting import Collecting
from shared_lib.phases.desk import Desk
from shared_lib.phases.known import Known
from shared_lib.phases.observations import Observed, Silence
from shared_lib.phases.undecided import Undecidable
from shared_lib.providers.base import PaymentRef, SavedMethodRef
from shared_lib.store.transaction import Transaction

_NOT_TO_SEND = frozenset(
    {RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.AWAITING_APPROVAL, RefundStatus.REJECTED}
)
_ASKED_FOR = frozenset({PaymentStatus.CREATED, PaymentStatus.SENDING, PaymentStatus.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Lease this payment or refund, if its time has come. `providers`: those that can be asked; None: any."""

    id: str
    providers: Collection[str] | None = None

    def missing(self, provider: str) -> Undecidable | None:
        """Its provider's settings were taken away: it cannot be asked, and nothing may be concluded from that."""
        if self.providers is None or provider in self.providers:
            return None
        return Undecidable(reason=f"the provider {provider} is not configured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A payment under our lease (`payment.fence`), with what asking its provider needs. `now`: when it was leased."""

    payment: Payment
    status_before: PaymentStatus
    order: Order
    method: SavedMethodRef | None
    email: str | None
    wanted: bool  # False: nobody needs its money any longer; it is to be closed, not collected
    now: datetime
    by_customer: bool = False  # who cancels it, and waits for the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRefund:
    """A refund under our lease (`refund.fence`)."""

    refund: Refund
    status_before: RefundStatus
    provider: str
    payment: PaymentRef
    now: datetime


async def claim_payments(tx: Transaction, claims: Sequence[Claim]) -> list[Claimed | Undecidable | None]:
    """Lease payments to the caller, who then asks their providers. None: this caller must not ask now.

    Cancel wins: the subscription is locked and looked at again here, just before sending. What nobody wants any
    longer and was never sent is closed at once.
    """
    desk = Desk(tx)
    await desk.lock_payments([claim.id for claim in claims])
    collecting = Collecting(desk, await Known.read(desk, []))
    answers = [_lease(desk, collecting, claim) for claim in claims]
    desk.write()
    leased = [answer for answer in answers if isinstance(answer, Leased)]
    context = await _context(tx, desk, [one.payment for one in leased]) if leased else {}
    return [_claimed(desk, context, one) if isinstance(one, Leased) else one for one in answers]


class Leased(NamedTuple):
    payment: Payment
    before: PaymentStatus


def _lease(desk: Desk, collecting: Collecting, claim: Claim) -> Leased | Undecidable | None:
    payment = desk.payments.get(claim.id)
    if payment is None or not payment.is_live or (payment.lease_until and payment.lease_until > desk.now):
        return None
    if payment.status not in _ASKED_FOR and (
        payment.next_check_at is None or payment.next_check_at > desk.now
    ):
        return None  # somebody was faster; the customer has the link
    if payment.status is PaymentStatus.CREATED and not _wanted(desk, payment):
        collecting.apply(Observed(payment_id=payment.id, said=Silence.NEVER_HAPPENED))
        return None
    if missing := claim.missing(payment.provider):
        return missing
    return Leased(take_lease(desk, payment), before=payment.status)


def take_lease(desk: Desk, payment: Payment) -> Payment:
    """The payment under a lease of the caller's, who asks its provider next."""
    before, claimed = payment.status, PaymentEvent.CLAIMED
    leased = replace(
        payment,
        status=PAYMENT.after(before, claimed) if PAYMENT.allows(before, claimed) else before,
        fence=payment.fence + 1,
        lease_until=desk.now + LEASE,
        next_check_at=desk.now + LEASE,  # if we die now, whoever looks next finds the lease over and takes it
        first_sent_at=payment.first_sent_at or desk.now,
    )
    desk.put(leased)
    return leased


def _wanted(desk: Desk, payment: Payment) -> bool:
    order = desk.orders[payment.order_id]
    if payment.surplus or order.status is not OrderStatus.PENDING or order.expires_at <= desk.now:
        return False
    if order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
        return cycles.may_renew(desk, order, by_customer=payment.flow is PaymentFlow.CHECKOUT)
    return True


_Context = dict[str, tuple[SavedMethodRef | None, str | None]]


async def _context(tx: Transaction, desk: Desk, payments: Sequence[Payment]) -> _Context:
    """The method and the customer's address of each payment."""
    rows = await tx.fetch(
        """
        SELECT p.id, m.provider, m.provider_ref, m.provider_customer_ref, m.brand, m.last4, m.expires, c.email
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS p (id, method_id, customer_id)
        LEFT JOIN payment_methods m ON m.id = p.method_id AND m.usable AND m.deleted_at IS NULL
        LEFT JOIN customers c ON c.id = p.customer_id
        """,
        [
            [payment.id for payment in payments],
            [payment.payment_method_id for payment in payments],
            [desk.orders[payment.order_id].customer_id for payment in payments],
        ],
    )
    return {row[0]: (method_of(row[1:7]), row[7]) for row in rows}


def method_of(row: Sequence[str | None]) -> SavedMethodRef | None:
    """(provider, provider_ref, provider_customer_ref, brand, last4, expires) as the provider's token."""
    provider, ref, customer, brand, last4, expires = row
    if provider is None or ref is None:
        return None
    return SavedMethodRef(
        provider=provider, method_id=ref, customer_id=customer, brand=brand, last4=last4, expires=expires
    )


def _claimed(desk: Desk, context: _Context, leased: Leased) -> Claimed:
    payment, before = leased
    method, email = context[payment.id]
    return Claimed(
        payment=payment,
        status_before=before,
        order=desk.orders[payment.order_id],
        method=method,
        email=email,
        wanted=_wanted(desk, payment),
        now=desk.now,
    )


async def claim_refunds(tx: Transaction, claims: Sequence[Claim]) -> list[ClaimedRefund | Undecidable | None]:
    """Lease refunds to the caller, who then asks their providers. None: this caller must not ask now."""
    rows = await tx.fetch(
        "SELECT id, order_id FROM refunds WHERE id = ANY(%s)", [sorted({claim.id for claim in claims})]
    )
    desk = Desk(tx)
    await desk.lock([row[1] for row in rows], refunds=True)
    answers = [lease_refund(desk, claim) for claim in claims]
    desk.write()
    return answers


def lease_refund(desk: Desk, claim: Claim) -> ClaimedRefund | Undecidable | None:
    """Take the lease on a refund whose rows the caller has locked. None: not ours to ask about now."""
    refund = desk.refunds.get(claim.id)
    if refund is None or (refund.lease_until and refund.lease_until > desk.now):
        return None
    before = refund.status
    if before is RefundStatus.PENDING and (refund.next_check_at is None or refund.next_check_at > desk.now):
        return None
    if before in _NOT_TO_SEND:
        return None
    payment = desk.payments[refund.payment_id]
    if payment.provider_ref is None:
        return Undecidable(reason="it returns a payment that its provider never saw")
    if missing := claim.missing(payment.provider):
        return missing
    leased = replace(
        refund,
        status=REFUND.edges.get((before, RefundEvent.CLAIMED), before),
        fence=refund.fence + 1,
        lease_until=desk.now + LEASE,
        next_check_at=desk.now + LEASE,
        first_sent_at=refund.first_sent_at or desk.now,
    )
    desk.put(leased)
    ref = PaymentRef(
        provider=payment.provider,
        provider_payment_id=payment.provider_ref,
        capture_id=payment.provider_capture_ref,
    )
    return ClaimedRefund(
        refund=leased, status_before=before, provider=payment.provider, payment=ref, now=desk.now
    )


__all__ = [
    "Claim",
    "Claimed",
    "ClaimedRefund",
    "claim_payments",
    "claim_refunds",
    "lease_refund",
    "method_of",
]
