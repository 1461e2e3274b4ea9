"""The sandbox provider: integer minor units, one object per payment, signed webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import httpx

from shared_lib.fetching import Http
from shared_lib.providers.base import (
    Capabilities,
    ChargeRequest,
    CheckoutRequest,
    PaymentRef,
    PaymentSnapshot,
    ProviderError,
    ProviderEvent,
    RawWebhook,
    RefundRequest,
    RefundSnapshot,
    SavedMethodRef,
    Unavailable,
    WebhookRejected,
    WebhookUnreadable,
)
from shared_lib.providers.found import foremost
from shared_lib.providers.reading import Unreadable, text
from shared_lib.providers.sandbox_answers import (
    NAME,
    error_of,
    event_of,
    page_from,
    payment_for,
    payment_from,
    payment_of,
    refund_from,
    refund_of,
    same,
    same_ref,
    same_refund,
)
from shared_lib.providers.transport import EXCHANGE_S, TIMEOUT, Bearer, Transport
from shared_lib.standard_webhook import NotAuthentic, decoded_secret, verified_id

_PAGE = 100
_PAGES_MAX = 10_000
_WEBHOOK_ID_CHARS_MAX = 255
_CHECKOUT_MAX = timedelta(days=7)  # the longest life of a page, whatever was requested
_MINIMUM_MINOR = MappingProxyType(
    {
        "EUR": 50,
        "USD": 50,
        "GBP": 30,
        "CHF": 50,
        "PLN": 200,
        "SEK": 300,
        "RUB": 100,
        "KZT": 10_000,
        "JPY": 50,
        "KWD": 200,
    }
)

CAPABILITIES = Capabilities(
    idempotency_ttl=timedelta(hours=24),
    currencies=frozenset(_MINIMUM_MINOR),
    minimum_minor=_MINIMUM_MINOR,
    max_concurrency=16,
    description_max=500,
    return_url_max=2000,
    reference_max=500,
)


class SandboxProvider:
    """Implements PaymentProvider. Its only state is its connections; `aclose` closes the client it was given."""

    name = NAME
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        webhook_secrets: Sequence[str],
        http: Http,
        timeout: httpx.Timeout = TIMEOUT,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        self._http = http
        self._wire = Transport(NAME, base_url, http, Bearer(api_key), timeout, exchange_s=exchange_s)
        self._webhook_keys = tuple(decoded_secret(secret) for secret in webhook_secrets)

    def __repr__(self) -> str:
        return f"SandboxProvider({self._wire!r})"

    async def aclose(self) -> None:
        await self._http.aclose()

    # ---- payments ------------------------------------------------------------------------------------------

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        body = {
            **_priced(req),
            "return_url": req.return_url,
            "cancel_url": req.cancel_url,
            "save_method": req.save_method,
            "customer_ref": req.customer_ref,
            "customer_email": req.customer_email,
            "customer_id": req.provider_customer_id,
            "locale": req.locale,
            "expires_in_s": None
            if req.expires_in is None
            else int(min(req.expires_in, _CHECKOUT_MAX).total_seconds()),
        }
        exchange = await self._wire.write("POST", "/v1/checkouts", body, req.idempotency_key)
        return payment_for(req, exchange)

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        body = {**_priced(req), "method_id": req.method.method_id}
        exchange = await self._wire.write("POST", "/v1/charges", body, req.idempotency_key)
        return payment_for(req, exchange)

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:  # noqa: ARG002
        """The sandbox's page has collected the money already: fetch the payment."""
        return await self.fetch_payment(ref)

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        path = f"/v1/checkouts/{_quoted(ref.provider_payment_id)}/expire"
        # With a key of its own: the payment's key belongs to the call that created it.
        exchange = await self._wire.write("POST", path, {}, f"expire:{idempotency_key}")
        if exchange.status == 400 and exchange.error_code == "checkout_not_open":
            return await self.fetch_payment(ref)  # the customer was faster, or it is already closed
        return same_ref(ref, payment_from(exchange, mutates=True))

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        exchange = await self._wire.read(f"/v1/payments/{_quoted(ref.provider_payment_id)}")
        return same_ref(ref, payment_from(exchange, mutates=False))

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:  # noqa: ARG002
        """Find it by our id, whatever `since` is: a difference between clocks must not hide a payment."""
        params = {"metadata[payment_id]": payment_id, "limit": str(_PAGE)}
        found, _ = page_from(payment_of, await self._wire.read("/v1/payments", params))
        for payment in found:
            same("payment_id", payment_id, payment.payment_id)
        return foremost(found)

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        params = {"created[gte]": since.isoformat(), "created[lt]": until.isoformat(), "limit": str(_PAGE)}
        for _ in range(_PAGES_MAX):
            found, cursor = page_from(payment_of, await self._wire.read("/v1/payments", params))
            for payment in found:
                yield payment
            if cursor is None:
                return
            if cursor == params.get("cursor"):
                break
            params["cursor"] = cursor
        raise Unavailable(NAME, "endless_list", "the pages of a list do not end")

    # ---- refunds and methods -------------------------------------------------------------------------------

    async def refund(self, req: RefundRequest) -> RefundSnapshot:
        body = {
            "payment": req.payment.provider_payment_id,
            "amount_minor": None if req.amount is None else req.amount.minor,
            "reason": req.reason,
            "metadata": {"refund_id": req.refund_id},
        }
        exchange = await self._wire.write("POST", "/v1/refunds", body, req.idempotency_key)
        return same_refund(req, refund_from(exchange, mutates=True))

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot:  # noqa: ARG002
        exchange = await self._wire.read(f"/v1/refunds/{_quoted(provider_refund_id)}")
        return refund_from(exchange, mutates=False)

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        params = {"metadata[refund_id]": refund_id, "payment": payment.provider_payment_id, "limit": "1"}
        found, _ = page_from(refund_of, await self._wire.read("/v1/refunds", params))
        for refund in found:
            same("refund_id", refund_id, refund.our_refund_id)
        return found[0] if found else None

    async def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        params = {"payment": payment.provider_payment_id, "limit": str(_PAGE)}
        while True:
            found, cursor = page_from(refund_of, await self._wire.read("/v1/refunds", params))
            for refund in found:
                same("payment", payment.provider_payment_id, refund.payment.provider_payment_id)
                yield refund
            if cursor is None:
                return
            params["cursor"] = cursor

    async def forget_method(self, method: SavedMethodRef) -> None:
        exchange = await self._wire.write("DELETE", f"/v1/methods/{_quoted(method.method_id)}", {}, None)
        if exchange.status == 404 or exchange.status < 300:
            return
        raise error_of(exchange, mutates=True)

    # ---- webhooks ------------------------------------------------------------------------------------------

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        try:
            id_ = verified_id(raw.headers, raw.body, self._webhook_keys, raw.received_at)
        except NotAuthentic as finding:
            failure: ProviderError = WebhookRejected(NAME, str(finding), "the webhook was not accepted")
        else:
            try:
                return [event_of(text({"id": id_}, "id", chars_max=_WEBHOOK_ID_CHARS_MAX), raw.body)]
            except Unreadable as finding:
                failure = WebhookUnreadable(NAME, str(finding), "the webhook is signed and cannot be read")
        raise failure


def _priced(req: CheckoutRequest | ChargeRequest) -> dict[str, Any]:
    ours = {"payment_id": req.payment_id, "order_id": req.order_id}
    return {
        "amount_minor": req.amount.minor,
        "currency": req.amount.currency,
        "description": req.description,
        "metadata": {**req.metadata, **ours},
    }


def _quoted(provider_id: str) -> str:
    return quote(provider_id, safe="")
