"""A payment provider that answers at once, so that a benchmark measures us and not a network.

    BOXOFFICE_PROVIDERS=benchmarks.instant:InstantProvider

It takes every amount, keeps no books and forgets everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared_lib.providers.base import (
    Capabilities,
    ChargeRequest,
    CheckoutRequest,
    Money,
    NotFound,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    ProviderEvent,
    RawWebhook,
    RefundRequest,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
    WebhookRejected,
)

NAME: Final = "benchmarks.instant:InstantProvider"

_LINK_LIVES = timedelta(hours=24)


class InstantProvider:
    """Implements PaymentProvider. A checkout is open at once, a charge has succeeded at once."""

    name = NAME
    capabilities = Capabilities(
        idempotency_ttl=timedelta(hours=24),
        currencies=frozenset({"EUR"}),
        minimum_minor={"EUR": 50},
        max_concurrency=64,
        description_max=500,
        return_url_max=2000,
        reference_max=500,
    )

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        return PaymentSnapshot(
            ref=_ref(req.payment_id),
            state=PaymentState.PENDING,
            amount=req.amount,
            captured=Money(0, req.amount.currency),
            refunded=Money(0, req.amount.currency),
            payment_id=req.payment_id,
            order_id=req.order_id,
            checkout_url=f"https://pay.example/{req.payment_id}",
            expires_at=datetime.now(UTC) + _LINK_LIVES,
            livemode=False,
        )

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        return PaymentSnapshot(
            ref=_ref(req.payment_id),
            state=PaymentState.SUCCEEDED,
            amount=req.amount,
            captured=req.amount,
            refunded=Money(0, req.amount.currency),
            payment_id=req.payment_id,
            order_id=req.order_id,
            livemode=False,
        )

    async def refund(self, req: RefundRequest) -> RefundSnapshot:
        if req.amount is None:
            raise NotFound(NAME, "no_books", "it does not know what is left")
        return RefundSnapshot(
            provider_refund_id=f"ins_{req.refund_id}",
            our_refund_id=req.refund_id,
            payment=req.payment,
            state=RefundState.SUCCEEDED,
            amount=req.amount,
        )

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:  # noqa: ARG002
        return await self.fetch_payment(ref)

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:  # noqa: ARG002
        return await self.fetch_payment(ref)

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        raise NotFound(NAME, "no_books", f"{ref.provider_payment_id} is forgotten")

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot:  # noqa: ARG002
        raise NotFound(NAME, "no_books", f"{provider_refund_id} is forgotten")

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:  # noqa: ARG002
        return None

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:  # noqa: ARG002
        return None

    async def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:  # noqa: ARG002
        nothing: Sequence[RefundSnapshot] = ()
        for refund in nothing:
            yield refund

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:  # noqa: ARG002
        nothing: Sequence[PaymentSnapshot] = ()
        for payment in nothing:
            yield payment

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:  # noqa: ARG002
        raise WebhookRejected(NAME, "no_webhooks", "it sends none")

    async def forget_method(self, method: SavedMethodRef) -> None:
        """It never knew any."""

    async def aclose(self) -> None:
        """It holds nothing."""


def _ref(payment_id: str) -> PaymentRef:
    return PaymentRef(provider=NAME, provider_payment_id=f"ins_{payment_id}")
