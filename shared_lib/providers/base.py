"""Payment-provider port: what the functions call, and nothing else.

A decline is a value, an error is an exception. An adapter holds no database, no clock, no global settings
and no hidden retries; what it cannot classify for sure it calls unknown or PENDING, never failed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from shared_lib.domain.payment import Decline, DeclineKind
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
    "Decline", "DeclineKind", "EventKind", "IdempotencyMismatch", "InputRejected", "InvalidRequest", "KeyInUse",
    "Money", "NotAllowed", "NotFound", "OutcomeUnknown", "PaymentProvider", "PaymentRef",
    "PaymentSnapshot", "PaymentState", "ProviderError", "ProviderEvent", "RateLimited",
    "RawWebhook", "RefundRejected", "RefundRequest", "RefundSnapshot", "RefundState",
    "SavedMethodRef", "Trust", "Unavailable", "WebhookRejected", "WebhookUnreadable",
]  # fmt: skip


# ---- what we ask -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRequest:
    """Money from a saved method while the customer is away."""

    payment_id: str  # ours, goes to metadata
    order_id: str  # ours, goes to metadata
    amount: Money
    method: SavedMethodRef
    description: str
    idempotency_key: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    payment: PaymentRef
    refund_id: str  # ours, goes to metadata
    amount: Money | None  # None = everything that is left
    idempotency_key: str
    reason: str = "requested_by_customer"


# ---- what the provider reports -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RawWebhook:
    headers: Mapping[str, str]  # lower-cased keys
    body: bytes  # untouched
    source_ip: str | None
    received_at: datetime


class Trust(StrEnum):
    SIGNED = "signed"  # the bytes proved to come from the provider
    HINT = "hint"  # only a wake-up call: fetch before believing


class EventKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    METHOD = "method"
    DISPUTE = "dispute"
    IGNORED = "ignored"  # authentic, and nothing to us: acknowledge it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """What one webhook says. SIGNED: the body is the observation. HINT: only where to look."""

    dedup_id: str  # event id, or "<event>:<object id>" where there is none
    kind: EventKind
    object_id: str  # theirs
    trust: Trust
    occurred_at: datetime | None
    payment: PaymentSnapshot | None = None  # SIGNED and kind PAYMENT
    refund: RefundSnapshot | None = None  # SIGNED and kind REFUND
    method: SavedMethodRef | None = None  # SIGNED and kind METHOD: as it is now, where the webhook says so
    method_gone: bool = False  # SIGNED and kind METHOD: it cannot be charged any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do, as data, so that it is checked before a call and not by a call that fails. Each field is read."""

    idempotency_ttl: timedelta
    currencies: frozenset[str]
    minimum_minor: Mapping[str, int]  # smallest chargeable amount by currency; zero (verification) is apart
    max_concurrency: int  # charges that one process keeps in flight; several processes add up at the provider
    description_max: int  # characters of what the customer reads on its page; a longer title is shortened
    return_url_max: int  # characters; a longer one is refused at the edge
    reference_max: int  # characters of our customer's id there; another one becomes its digest


# ---- the port ----------------------------------------------------------------------------------------------


@runtime_checkable
class PaymentProvider(Protocol):
    """Every verb raises ProviderError and nothing else; a decline is returned, not raised."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        """A PENDING payment with checkout_url and expires_at."""
        ...

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """Take the money of an APPROVED payment; elsewhere a plain fetch."""
        ...

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """Close the link where that is possible; the answer is what is true now, which may be SUCCEEDED."""
        ...

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot: ...

    async def refund(self, req: RefundRequest) -> RefundSnapshot: ...

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot: ...

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot: ...

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        """The provider's payment that carries our id, or None when it surely has none now.

        Where it has several, the one that took the money, else an open one, else the newest; the rest are its `others`.
        """
        ...

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        """The provider's refund that carries our id, or None when it surely has none now."""
        ...

    def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        """Every refund of this payment, also those made in the dashboard, each exactly once."""
        ...

    def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        """Every payment created in [since, until), each exactly once."""
        ...

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        """Verify, then read. Raises WebhookRejected, or WebhookUnreadable for what is signed and makes no sense."""
        ...

    async def forget_method(self, method: SavedMethodRef) -> None:
        """Idempotent: a method that is already gone is forgotten."""
        ...

    async def aclose(self) -> None: ...
