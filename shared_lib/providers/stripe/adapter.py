"""The client of Stripe: what we ask, as form-encoded calls of one pinned version of its API.

A checkout is a Checkout Session in mode `payment` (our own schedule renews), or `setup` when only a card is verified. A charge is an
off-session PaymentIntent. Sessions get no `expires_at`: it would differ each time a request is sent again under its key; they live
24 hours, as orders do, and are closed by `cancel_checkout`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from shared_lib.domain.values import replace
from shared_lib.fetching import Http
from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    ProviderError,
    ProviderEvent,
    RawWebhook,
    RefundRejected,
    RefundRequest,
    RefundSnapshot,
    SavedMethodRef,
    WebhookRejected,
    WebhookUnreadable,
)
from shared_lib.providers.reading import Unreadable
from shared_lib.providers.stripe import answers
from shared_lib.providers.stripe.amounts import NAME, theirs
from shared_lib.providers.stripe.answers import EXPANDED_INTENT, EXPANDED_SESSION, expand
from shared_lib.providers.stripe.capabilities import API_VERSION, CAPABILITIES
from shared_lib.providers.stripe.errors import error_of
from shared_lib.providers.stripe.forms import FORM
from shared_lib.providers.stripe.lists import Lists
from shared_lib.providers.stripe.objects import CHECKOUT, FLOW
from shared_lib.providers.stripe.webhooks import HEADER, Verifier, event_of
from shared_lib.providers.transport import EXCHANGE_S, TIMEOUT, Bearer, Transport
from shared_lib.standard_webhook import NotAuthentic

URL = "https://api.stripe.com"


class StripeProvider:
    """Implements PaymentProvider. Its only state is its connections; `aclose` closes the client it was given."""

    name = NAME
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        secret_key: str,
        webhook_secrets: Sequence[str],
        http: Http,
        base_url: str = URL,
        timeout: httpx.Timeout = TIMEOUT,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        self._http = http
        self._wire = Transport(
            NAME,
            base_url,
            http,
            Bearer(secret_key),
            timeout,
            exchange_s=exchange_s,
            encoding=FORM,
            headers={"stripe-version": API_VERSION},
        )
        self._lists = Lists(self._wire)
        self._verifier = Verifier(webhook_secrets)

    def __repr__(self) -> str:
        return f"StripeProvider({self._wire!r})"

    async def aclose(self) -> None:
        await self._http.aclose()

    # ---- payments ------------------------------------------------------------------------------------------

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        body = _session(req)
        exchange = await self._wire.write("POST", "/v1/checkout/sessions", body, req.idempotency_key)
        return answers.session_for(req, exchange)

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        body = {
            "amount": theirs(req.amount),
            "currency": req.amount.currency.lower(),
            "customer": req.method.customer_id,
            "payment_method": req.method.method_id,
            "off_session": True,
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "description": req.description,
            "metadata": _metadata(req),
            "expand": EXPANDED_INTENT,
        }
        exchange = await self._wire.write("POST", "/v1/payment_intents", body, req.idempotency_key)
        return answers.charge_for(req, exchange)

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:  # noqa: ARG002
        """Stripe's page has collected the money already: fetch the payment."""
        return await self.fetch_payment(ref)

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:  # noqa: ARG002
        page = ref.provider_payment_id.startswith("cs_")
        path = f"{_path_of(ref)}/{'expire' if page else 'cancel'}"
        body = {"expand": EXPANDED_SESSION if page else EXPANDED_INTENT}
        # Without a key, under which a 500 would be replayed for a day: closing again changes nothing.
        exchange = await self._wire.write("POST", path, body, None)
        if answers.is_not_open(exchange):
            return await self.fetch_payment(ref)  # the customer was faster, or it is already closed
        closed = answers.same_ref(ref, answers.payment_from(exchange, mutates=True))
        # A session that we close says "expired", as one does that nothing paid in time.
        return (
            replace(closed, state=PaymentState.CANCELED) if closed.state is PaymentState.EXPIRED else closed
        )

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        """An intent that belongs to a page is answered by its session, which is the payment."""
        page = ref.provider_payment_id.startswith("cs_")
        exchange = await self._wire.read(_path_of(ref), expand(EXPANDED_SESSION if page else EXPANDED_INTENT))
        found = answers.same_ref(ref, answers.payment_from(exchange, mutates=False))
        return await self._lists.payment_of(found, exchange.body)

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        return await self._lists.find_payment(payment_id, since)

    def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        return self._lists.payments(since, until)

    # ---- refunds and methods -------------------------------------------------------------------------------

    async def refund(self, req: RefundRequest) -> RefundSnapshot:
        body = {
            "payment_intent": await self._intent_of(req.payment),
            "amount": None if req.amount is None else theirs(req.amount),
            "reason": "requested_by_customer",  # "fraudulent" would block the card and the address
            # With what its webhook needs: it names the intent, and our payment may be a session.
            "metadata": {"refund_id": req.refund_id, "payment": req.payment.provider_payment_id},
        }
        exchange = await self._wire.write("POST", "/v1/refunds", body, req.idempotency_key)
        return answers.refund_for(req, exchange)

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot:
        exchange = await self._wire.read(f"/v1/refunds/{_quoted(provider_refund_id)}")
        return answers.refund_from(exchange, payment, mutates=False)

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        async for refund in self.list_refunds(payment):
            if refund.our_refund_id == refund_id:
                return refund
        return None

    async def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        try:
            intent = await self._intent_of(payment)
        except RefundRejected:
            return  # nothing was paid
        async for refund in self._lists.refunds(payment, intent):
            yield refund

    async def forget_method(self, method: SavedMethodRef) -> None:
        path = f"/v1/payment_methods/{_quoted(method.method_id)}/detach"
        exchange = await self._wire.write("POST", path, {}, None)  # as above
        if exchange.status < 300 or exchange.status == 404 or answers.is_detached(exchange):
            return
        raise error_of(exchange, mutates=True)

    async def _intent_of(self, payment: PaymentRef) -> str:
        """The intent that took the money. Raises RefundRejected when there is none."""
        if payment.capture_id is not None:
            return payment.capture_id
        found = await self.fetch_payment(payment)
        if found.ref.capture_id is None:
            raise RefundRejected(NAME, "nothing_paid", "the session has no payment intent")
        return found.ref.capture_id

    # ---- webhooks ------------------------------------------------------------------------------------------

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        try:
            self._verifier.check(raw.headers.get(HEADER, ""), raw.body, raw.received_at)
        except NotAuthentic as finding:
            failure: ProviderError = WebhookRejected(NAME, str(finding), "the webhook was not accepted")
        else:
            try:
                return [event_of(raw.body)]
            except Unreadable as finding:
                failure = WebhookUnreadable(NAME, str(finding), "the webhook is signed and cannot be read")
        raise failure


def _session(req: CheckoutRequest) -> Mapping[str, Any]:
    ours, currency = _metadata(req), req.amount.currency.lower()
    shared = {
        "success_url": req.return_url,
        "cancel_url": req.cancel_url,
        "client_reference_id": req.order_id,
        "metadata": {**ours, "currency": currency},
        "customer": req.provider_customer_id,
        "customer_email": None if req.provider_customer_id else req.customer_email,
        # A card is kept for a customer alone; without one it could not be charged again.
        "customer_creation": "always" if req.save_method and not req.provider_customer_id else None,
        "locale": req.locale,
        "expand": EXPANDED_SESSION,
    }
    if not req.amount:
        # The metadata of the session are not copied to what it creates.
        return {"mode": "setup", "currency": currency, "setup_intent_data": {"metadata": ours}} | shared
    price = {
        "currency": currency,
        "unit_amount": theirs(req.amount),
        "product_data": {"name": req.description},
    }
    intent = {
        "metadata": {**ours, FLOW: CHECKOUT},
        "description": req.description,
        "setup_future_usage": "off_session" if req.save_method else None,
    }
    return {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "payment_intent_data": intent,
    } | shared


def _metadata(req: CheckoutRequest | ChargeRequest) -> dict[str, str]:
    return {**req.metadata, "payment_id": req.payment_id, "order_id": req.order_id}


def _path_of(ref: PaymentRef) -> str:
    kind = "checkout/sessions" if ref.provider_payment_id.startswith("cs_") else "payment_intents"
    return f"/v1/{kind}/{_quoted(ref.provider_payment_id)}"


def _quoted(provider_id: str) -> str:
    return quote(provider_id, safe="")
