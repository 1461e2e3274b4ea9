"""Payment: one attempt to collect one order through one provider. Its id is the provider's idempotency key."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from shared_lib.domain.lease import NO_LEASE, Lease
from shared_lib.domain.money import Money
from shared_lib.domain.state_machine import StateMachine
from shared_lib.domain.values import Value


class PaymentStatus(StrEnum):
    CREATED = "created"  # intent is committed, nothing was sent
    SENDING = "sending"  # a process holds the lease and asks the provider
    PENDING = "pending"  # the customer has a link, or the provider is working
    ACTION_REQUIRED = "action_required"  # the customer must confirm
    SUCCEEDED = "succeeded"  # money was taken
    DECLINED = "declined"
    CANCELED = "canceled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # it may have been executed: ask, never guess


class PaymentEvent(StrEnum):
    CLAIMED = "claimed"  # a lease was taken to ask the provider
    NOT_SENT = "not_sent"  # surely not executed: same key again later
    WENT_PENDING = "went_pending"
    NEEDS_ACTION = "needs_action"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    CANCELED = "canceled"
    EXPIRED = "expired"
    TIMED_OUT = "timed_out"  # no answer that can be trusted


class PaymentFlow(StrEnum):
    CHECKOUT = "checkout"  # the customer pays on the provider's page
    CHARGE = "charge"  # a saved method is charged without a page


class DeclineKind(StrEnum):
    SOFT = "soft"  # the same method may work later
    HARD = "hard"  # never charge this method again
    ACTION_REQUIRED = "action_required"  # the customer must authenticate


class DeclineReason(StrEnum):
    """Reasons that a mail explains. A provider's client may give any other word; its mail then follows from the kind."""

    CARD_EXPIRED = "card_expired"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    METHOD_REMOVED = "method_removed"  # the provider has deleted the card or account


class Decline(Value, kw_only=True):
    """A refusal of the bank or the provider, and whether asking again can help. `provider_code` is verbatim, for support."""

    kind: DeclineKind
    reason: str
    provider_code: str
    retry_after: timedelta | None = None


class Payment(Value, kw_only=True):
    id: str
    order_id: str
    provider: str
    flow: PaymentFlow
    status: PaymentStatus
    amount: Money
    attempt: int
    created_at: datetime
    surplus: bool = False  # the order needs no money of it; what it captures goes back
    payment_method_id: str | None = None
    provider_ref: str | None = None
    provider_capture_ref: str | None = None
    checkout_url: str | None = None
    decline_kind: DeclineKind | None = None
    decline_reason: str | None = None
    captured_minor: int = 0
    refund_reserved_minor: int = 0
    refunded_minor: int = 0
    lease: Lease = NO_LEASE

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def refundable(self) -> Money:
        """What may still be given back: captured less what other refunds have reserved."""
        return Money(self.captured_minor - self.refund_reserved_minor, self.amount.currency)

    @property
    def surplus_minor(self) -> int:
        """What was captured beyond what the order asked for. It stays reserved until it is returned."""
        if self.surplus:
            return self.captured_minor
        return (
            max(0, self.captured_minor - self.amount.minor) if self.status is PaymentStatus.SUCCEEDED else 0
        )


LIVE = frozenset(
    {
        PaymentStatus.CREATED,
        PaymentStatus.SENDING,
        PaymentStatus.PENDING,
        PaymentStatus.ACTION_REQUIRED,
        PaymentStatus.UNKNOWN,
    }
)
"""While a payment is live its order can have no other: a partial unique index, not a convention."""

_S, _E = PaymentStatus, PaymentEvent
_ANSWERS: dict[PaymentEvent, PaymentStatus] = {
    _E.WENT_PENDING: _S.PENDING,
    _E.NEEDS_ACTION: _S.ACTION_REQUIRED,
    _E.SUCCEEDED: _S.SUCCEEDED,
    _E.DECLINED: _S.DECLINED,
    _E.CANCELED: _S.CANCELED,
    _E.EXPIRED: _S.EXPIRED,
}


def _edges() -> dict[tuple[PaymentStatus, PaymentEvent], PaymentStatus]:
    edges: dict[tuple[PaymentStatus, PaymentEvent], PaymentStatus] = {}
    for status in LIVE:  # a live payment takes every answer of its provider
        edges |= {(status, event): target for event, target in _ANSWERS.items()}
    for event in (*_ANSWERS, _E.TIMED_OUT, _E.NOT_SENT):  # captured money outranks every other report
        edges[_S.SUCCEEDED, event] = _S.SUCCEEDED
    for status in (_S.DECLINED, _S.CANCELED, _S.EXPIRED):  # final but for late money, which is never ignored
        edges |= {(status, event): status for event in (*_ANSWERS, _E.TIMED_OUT, _E.NOT_SENT)}
        edges[status, _E.SUCCEEDED] = _S.SUCCEEDED
    edges |= {
        (_S.CREATED, _E.CLAIMED): _S.SENDING,
        (_S.SENDING, _E.CLAIMED): _S.SENDING,  # the lease of a dead process is taken over
        (_S.SENDING, _E.NOT_SENT): _S.CREATED,
        (_S.SENDING, _E.TIMED_OUT): _S.UNKNOWN,
        (_S.UNKNOWN, _E.CLAIMED): _S.UNKNOWN,  # asking again does not make it known
        (_S.UNKNOWN, _E.TIMED_OUT): _S.UNKNOWN,
        (_S.UNKNOWN, _E.NOT_SENT): _S.UNKNOWN,
        # A slow answer that lost against a webhook has nothing to add.
        (_S.PENDING, _E.TIMED_OUT): _S.PENDING,
        (_S.PENDING, _E.NOT_SENT): _S.PENDING,
        (_S.ACTION_REQUIRED, _E.TIMED_OUT): _S.ACTION_REQUIRED,
        (_S.ACTION_REQUIRED, _E.NOT_SENT): _S.ACTION_REQUIRED,
        (_S.ACTION_REQUIRED, _E.WENT_PENDING): _S.PENDING,
    }
    return edges


PAYMENT: StateMachine[PaymentStatus, PaymentEvent] = StateMachine("payment", PaymentStatus.CREATED, _edges())
