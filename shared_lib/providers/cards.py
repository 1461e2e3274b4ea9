"""Hashes the fingerprints of cards as they leave a provider's client, so that no other module sees one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from shared_lib.domain.values import replace
from shared_lib.providers.base import (
    Capabilities,
    ChargeRequest,
    CheckoutRequest,
    PaymentProvider,
    PaymentRef,
    PaymentSnapshot,
    ProviderEvent,
    RawWebhook,
    RefundRequest,
    RefundSnapshot,
    SavedMethodRef,
)

DEFAULT_PEPPER = b"boxoffice: no card_pepper is set"
"""The key of tests and of the local stack. In production the settings require a key of your own."""


class HashedCards:
    """A PaymentProvider that wraps another. `SavedMethodRef.fingerprint` of every answer is HMAC-SHA256 in hex.

    The provider's name is hashed too: the same fingerprint at two providers is not the same card.
    """

    def __init__(self, real: PaymentProvider, pepper: bytes) -> None:
        self.real, self.__pepper = real, pepper

    def __repr__(self) -> str:
        return f"HashedCards({self.real!r})"

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def capabilities(self) -> Capabilities:
        return self.real.capabilities

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        return self._hashed(await self.real.create_checkout(req))

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        return self._hashed(await self.real.complete_checkout(ref, idempotency_key))

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        return self._hashed(await self.real.cancel_checkout(ref, idempotency_key))

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        return self._hashed(await self.real.charge(req))

    async def refund(self, req: RefundRequest) -> RefundSnapshot:
        return await self.real.refund(req)

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        return self._hashed(await self.real.fetch_payment(ref))

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot:
        return await self.real.fetch_refund(provider_refund_id, payment)

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        found = await self.real.find_payment(payment_id, since)
        return self._hashed(found) if found else None

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        return await self.real.find_refund(refund_id, payment)

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        async for payment in self.real.list_payments(since, until):
            yield self._hashed(payment)

    def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        return self.real.list_refunds(payment)

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        events = await self.real.parse_webhook(raw)
        return [
            replace(event, payment=self._hashed(event.payment)) if event.payment else event
            for event in events
        ]

    async def forget_method(self, method: SavedMethodRef) -> None:
        await self.real.forget_method(method)

    async def aclose(self) -> None:
        await self.real.aclose()

    def _hashed(self, payment: PaymentSnapshot) -> PaymentSnapshot:
        method = payment.saved_method
        if method is None and not payment.others:
            return payment  # as most answers to a new checkout
        if method and method.fingerprint:
            card = f"{self.name}\n{method.fingerprint}".encode()
            key = hmac.new(self.__pepper, card, hashlib.sha256).hexdigest()
            method = replace(method, fingerprint=key)
        others = tuple(self._hashed(other) for other in payment.others)
        return replace(payment, saved_method=method, others=others)
