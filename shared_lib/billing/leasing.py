"""Taking the lease on a payment or a refund: its holder asks the provider, and no other process does meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared_lib.billing.case import Case, Undecidable
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.payments import settle
from shared_lib.billing.reasons import reason_of
from shared_lib.billing.reports import LocalOutcome, PaymentRef, PaymentReport, SavedMethodRef
from shared_lib.domain.lease import Lease
from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import PAYMENT, Payment, PaymentEvent, PaymentStatus
from shared_lib.domain.refund import REFUND, Refund, RefundEvent, RefundStatus
from shared_lib.domain.values import Value, field, replace

_NOT_TO_SEND: Final = frozenset(
    {RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.AWAITING_APPROVAL, RefundStatus.REJECTED}
)
# Statuses in which a payment is asked about whenever a job wants it, before its next look is due.
_ASKED_AT_ONCE: Final = frozenset({PaymentStatus.CREATED, PaymentStatus.SENDING, PaymentStatus.UNKNOWN})


class Purpose(StrEnum):
    """What the provider is asked for."""

    COLLECT = "collect"  # send the payment, or find what became of it
    CLOSE = "close"  # no order needs its money any longer


class LeaseRequest(Value, kw_only=True):
    """Lease this payment or refund, if its time has come. `providers`: those that can be asked; None: any.

    `early`: an operator asks, so its time need not have come.
    """

    id: str
    providers: Collection[str] | None = None
    early: bool = False

    def of(self, lease: Lease) -> Lease:
        """The lease to take. However often an operator asks, the schedule goes on at its pace."""
        return lease.uncounted() if self.early else lease

    def missing(self, provider: str) -> Undecidable | None:
        """Its provider's settings were taken away: it cannot be asked, and nothing may be concluded from that."""
        if self.providers is None or provider in self.providers:
            return None
        return Undecidable(reason=f"the provider {provider} is not configured")


class LeaseContext(Value):
    """What asking a provider needs beside the case: methods that may be charged by our id, addresses by customer.

    `unusable`: of the methods that may not be charged, what a charge of each comes to.
    """

    methods: Mapping[str, SavedMethodRef] = field(default_factory=dict)
    unusable: Mapping[str, LocalOutcome] = field(default_factory=dict)
    emails: Mapping[str, str] = field(default_factory=dict)


class LeasedPayment(Value, kw_only=True):
    """A payment under our lease (`payment.lease.fence`), with what asking its provider needs. `now`: when it was leased.

    `by_customer`: the customer cancels it, and waits for the answer. `without_method`: what a charge comes to without `method`.
    """

    payment: Payment
    status_before: PaymentStatus
    order: Order
    method: SavedMethodRef | None
    email: str | None
    purpose: Purpose
    now: datetime
    by_customer: bool = False
    without_method: LocalOutcome = LocalOutcome.NO_METHOD


class LeasedRefund(Value, kw_only=True):
    """A refund under our lease (`refund.lease.fence`). `now`: when it was leased. `email`: where its receipt goes."""

    refund: Refund
    status_before: RefundStatus
    provider: str
    payment: PaymentRef
    order: Order
    now: datetime
    email: str | None = None


def lease_payment(
    case: Case, payment: Payment, request: LeaseRequest, context: LeaseContext
) -> tuple[Case, LeasedPayment | Undecidable | None]:
    """Lease it for the caller, who then asks its provider. None: this caller must not ask now.

    A payment that no order needs any longer and that was never sent is closed at once.
    """
    if not payment.is_live or payment.lease.is_held(case.now):
        return case, None
    if payment.status not in _ASKED_AT_ONCE and not (request.early or payment.lease.is_due(case.now)):
        return case, None  # another process was faster; the customer has the link
    purpose = purpose_of(case, payment)
    if payment.status is PaymentStatus.CREATED and purpose is Purpose.CLOSE:
        never_sent = PaymentReport(payment_id=payment.id, outcome=LocalOutcome.NEVER_HAPPENED)
        return settle(case, never_sent, SettlementContext()).case, None
    if missing := request.missing(payment.provider):
        return case, missing
    return lease_for(case, replace(payment, lease=request.of(payment.lease)), purpose, context)


def lease_for(
    case: Case, payment: Payment, purpose: Purpose, context: LeaseContext
) -> tuple[Case, LeasedPayment]:
    """The payment under a lease of the caller's, with what asking its provider needs."""
    order, (case, leased) = case.order_of(payment), take_lease(case, payment)
    return case, LeasedPayment(
        payment=leased,
        status_before=payment.status,
        order=order,
        method=context.methods.get(payment.payment_method_id or ""),
        without_method=context.unusable.get(payment.payment_method_id or "", LocalOutcome.NO_METHOD),
        email=context.emails.get(order.customer_id),
        purpose=purpose,
        now=case.now,
    )


def take_lease(case: Case, payment: Payment) -> tuple[Case, Payment]:
    """The payment under a lease of the caller's, who asks its provider next."""
    before, event = payment.status, PaymentEvent.CLAIMED
    leased = replace(
        payment,
        status=PAYMENT.after(before, event) if PAYMENT.allows(before, event) else before,
        lease=payment.lease.taken(case.now),
    )
    return case.put(leased), leased


def purpose_of(case: Case, payment: Payment) -> Purpose:
    """Whether the payment's money is still needed."""
    order = case.order_of(payment)
    waits = order.status is OrderStatus.PENDING and order.expires_at > case.now and not payment.surplus
    needed = waits and reason_of(order).may_collect(case, order, payment)
    return Purpose.COLLECT if needed else Purpose.CLOSE


def lease_refund(
    case: Case, refund: Refund, request: LeaseRequest
) -> tuple[Case, LeasedRefund | Undecidable | None]:
    """Lease it for the caller, who then asks its provider. None: this caller must not ask now."""
    before = refund.status
    if refund.lease.is_held(case.now) or before in _NOT_TO_SEND:
        return case, None
    if before is RefundStatus.PENDING and not (request.early or refund.lease.is_due(case.now)):
        return case, None
    payment = case.payment_of(refund)
    if payment.provider_ref is None:
        return case, Undecidable(reason="it returns a payment that its provider never saw")
    if missing := request.missing(payment.provider):
        return case, missing
    event = RefundEvent.CLAIMED
    leased = replace(
        refund,
        status=REFUND.after(before, event) if REFUND.allows(before, event) else before,
        lease=request.of(refund.lease).taken(case.now),
    )
    return case.put(leased), LeasedRefund(
        refund=leased,
        status_before=before,
        provider=payment.provider,
        payment=payment_ref(payment),
        order=case.order_of(refund),
        now=case.now,
    )


def payment_ref(payment: Payment) -> PaymentRef:
    """The payment's address at its provider, which has named it."""
    assert payment.provider_ref is not None
    return PaymentRef(
        provider=payment.provider,
        provider_payment_id=payment.provider_ref,
        capture_id=payment.provider_capture_ref,
    )
