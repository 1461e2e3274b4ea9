"""The port of a payment provider: the calls that we use, and no others.

A decline is a value, an error is an exception. An adapter has no database, no clock, no global settings and no hidden
retries; an outcome that it cannot classify with certainty is unknown or PENDING, never failed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from shared_lib.billing.reports import (
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
)
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Decline, DeclineKind, DeclineReason
from shared_lib.domain.values import Value, field
from shared_lib.providers.errors import (
    AnswerMismatch,
    BadCredentials,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    KeyInUse,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    RefundRejected,
    Unavailable,
    WebhookRejected,
    WebhookUnreadable,
)

__all__ = [
    "AnswerMismatch", "BadCredentials", "Capabilities", "ChargeRequest", "CheckoutRequest",
    "Decline", "DeclineKind", "DeclineReason", "EventKind", "IdempotencyMismatch", "InputRejected", "InvalidRequest", "KeyInUse",
    "Money", "NotAllowed", "NotFound", "OutcomeUnknown", "PaymentProvider", "PaymentRef",
    "PaymentSnapshot", "PaymentState", "ProviderError", "ProviderEvent", "RateLimited",
    "RawWebhook", "RefundRejected", "RefundRequest", "RefundSnapshot", "RefundState",
    "SavedMethodRef", "Trust", "Unavailable", "WebhookRejected", "WebhookUnreadable",
]  # fmt: skip


# ---- what we ask -------------------------------------------------------------------------------------------


class CheckoutRequest(Value, kw_only=True):
    """A hosted page for a customer who is present. Zero with save_method verifies a card for a trial."""

    payment_id: str  # ours, goes to metadata
    order_id: str  # ours, goes to metadata
    amount: Money
    description: str  # the title, shown to the customer
    return_url: str
    cancel_url: str
    idempotency_key: str
    save_method: bool = False
    customer_ref: str | None = None  # ours
    customer_email: str | None = None
    provider_customer_id: str | None = None
    locale: str | None = None
    expires_in: timedelta | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ChargeRequest(Value, kw_only=True):
    """Money from a saved method while the customer is away."""

    payment_id: str  # ours, goes to metadata
    order_id: str  # ours, goes to metadata
    amount: Money
    method: SavedMethodRef
    description: str
    idempotency_key: str
    customer_email: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class RefundRequest(Value, kw_only=True):
    payment: PaymentRef
    refund_id: str  # ours, goes to metadata
    amount: Money | None  # None = everything that is left
    idempotency_key: str
    reason: str = "requested_by_customer"
    description: str = "Refund"  # the title that was sold, for a receipt
    customer_email: str | None = None  # where a receipt goes


# ---- what the provider reports -----------------------------------------------------------------------------


class RawWebhook(Value, kw_only=True):
    headers: Mapping[str, str]  # lower-cased keys
    body: bytes  # untouched
    source_ip: str | None
    received_at: datetime


class Trust(StrEnum):
    SIGNED = "signed"  # the bytes proved to come from the provider
    HINT = "hint"  # not proven, or not all of it: fetch the object before using it


class EventKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    METHOD = "method"
    DISPUTE = "dispute"
    IGNORED = "ignored"  # authentic, but of no use to us: acknowledge it


class ProviderEvent(Value, kw_only=True):
    """What one webhook reports. SIGNED: the body is the observation. HINT: it only names the object to fetch."""

    dedup_id: str  # event id, or "<event>:<object id>" where there is none
    kind: EventKind
    object_id: str  # theirs
    trust: Trust
    occurred_at: datetime | None
    payment: PaymentSnapshot | None = None  # SIGNED and kind PAYMENT
    refund: RefundSnapshot | None = None  # SIGNED and kind REFUND
    method: SavedMethodRef | None = (
        None  # SIGNED and kind METHOD: its present state, if the webhook contains it
    )
    returns: PaymentRef | None = None  # HINT and kind REFUND: the payment that it says it returns money of
    method_gone: bool = False  # SIGNED and kind METHOD: it cannot be charged any more


class Capabilities(Value, kw_only=True):
    """What a provider supports, as data, so that it is checked before a call instead of by a failing call."""

    idempotency_ttl: timedelta
    currencies: frozenset[str]
    minimum_minor: Mapping[
        str, int
    ]  # smallest chargeable amount by currency; does not apply to zero (verification)
    max_concurrency: int  # charges that one process keeps in flight, each on a connection of its own: its client needs as many
    description_max: int  # characters of the description on its page; a longer title is shortened
    return_url_max: int  # characters; create_order refuses a longer one
    reference_max: int  # characters of our customer id; a longer one is replaced by its digest


# ---- the port ----------------------------------------------------------------------------------------------


@runtime_checkable
class PaymentProvider(Protocol):
    """Every method raises ProviderError and nothing else; a decline is returned, not raised."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        """A PENDING payment with checkout_url and expires_at."""
        ...

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """Collect an APPROVED payment; for providers without that state, fetch it."""
        ...

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """Close the link where that is possible. Returns the present state, which may be SUCCEEDED."""
        ...

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot: ...

    async def refund(self, req: RefundRequest) -> RefundSnapshot: ...

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot: ...

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot: ...

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        """The provider's payment with our id, or None when it certainly has none now.

        Of several, the one that took the money, else an open one, else the newest; the rest are its `others`.
        """
        ...

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        """The provider's refund with our id, or None when it certainly has none now."""
        ...

    def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        """Every refund of this payment, those made in its dashboard included, each exactly once."""
        ...

    def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        """Every payment created in [since, until), each exactly once."""
        ...

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        """Verify, then parse. Raises WebhookRejected, or WebhookUnreadable when it is signed but not readable."""
        ...

    async def forget_method(self, method: SavedMethodRef) -> None:
        """Delete the saved method at the provider. Idempotent: no error when it is already gone."""
        ...

    async def aclose(self) -> None: ...
