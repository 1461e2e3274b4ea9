"""The YooKassa provider: JSON, amounts as text, one object per payment, webhooks that are only hints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from shared_lib.domain.values import replace
from shared_lib.fetching import Http
from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    Money,
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
    Unavailable,
    WebhookRejected,
    WebhookUnreadable,
)
from shared_lib.providers.found import foremost
from shared_lib.providers.reading import Unreadable
from shared_lib.providers.transport import EXCHANGE_S, TIMEOUT, Basic, Exchange, Transport
from shared_lib.providers.yookassa import answers
from shared_lib.providers.yookassa.answers import binding_of, is_binding, page, payment_of, read, refund_of
from shared_lib.providers.yookassa.errors import Doing
from shared_lib.providers.yookassa.hints import NETWORKS, Networks, hint_of, is_theirs
from shared_lib.providers.yookassa.receipts import ReceiptRules
from shared_lib.providers.yookassa.wire import CAPABILITIES, NAME, amount, instant_of, key_of

URL: Final = "https://api.yookassa.ru/v3"

_PAGE: Final = 100
_PAGES_MAX: Final = 10_000
# A search reads at most this many pages of the shop's payments, 30,000 of them, and then says that it could not be made.
_SEARCH_PAGES_MAX: Final = 300
# Most payments are sent soon after they are made, so the first hour is read before the rest of the day, and that before today.
_SEARCH_WINDOWS: Final = (timedelta(hours=1), timedelta(hours=26))
_LOCALES: Final = {"ru": "ru_RU", "en": "en_US"}

T = TypeVar("T")


class YooKassaProvider:
    """Implements PaymentProvider. Its only state is its connections; `aclose` closes the client it was given.

    `currency`: the shop's. `receipts`: None for a shop that sends its receipts elsewhere, or needs none. `networks`: where
    webhooks come from.
    """

    name = NAME

    def __init__(
        self,
        *,
        shop_id: str,
        secret_key: str,
        http: Http,
        currency: str = "RUB",
        receipts: ReceiptRules | None = None,
        networks: Networks = NETWORKS,
        base_url: str = URL,
        timeout: httpx.Timeout = TIMEOUT,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        self._http, self._currency, self._receipts, self._networks = http, currency, receipts, networks
        self._livemode = not secret_key.startswith("test_")
        self._wire = Transport(
            NAME,
            base_url,
            http,
            Basic(shop_id, secret_key),
            timeout,
            exchange_s=exchange_s,
            key_header="idempotence-key",
        )
        self.capabilities = replace(
            CAPABILITIES,
            currencies=frozenset({currency}),
            minimum_minor=MappingProxyType({currency: CAPABILITIES.minimum_minor[currency]}),
        )

    def __repr__(self) -> str:
        return f"YooKassaProvider({self._wire!r})"

    async def aclose(self) -> None:
        await self._http.aclose()

    # ---- payments ------------------------------------------------------------------------------------------

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        """Its page lives for an hour, whatever `expires_in` says, and cannot be closed. Nothing leads to `cancel_url`."""
        confirmation = {"type": "redirect", "return_url": req.return_url}
        if locale := _LOCALES.get((req.locale or "")[:2].lower()):
            confirmation["locale"] = locale
        if not req.amount:
            return await self._bind(req, confirmation)
        body = {**self._priced(req, req.customer_email), "confirmation": confirmation}
        if req.save_method:
            body["save_payment_method"] = True
        if req.customer_ref:
            body["merchant_customer_id"] = req.customer_ref
        exchange = await self._write("/payments", body, req.idempotency_key)
        answered = answers.payment_for(req, read(exchange, payment_of, Doing.PAY))
        return answers.with_link(answered, exchange)

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        body = {**self._priced(req, req.customer_email), "payment_method_id": req.method.method_id}
        exchange = await self._write("/payments", body, req.idempotency_key)
        return answers.payment_for(req, read(exchange, payment_of, Doing.PAY))

    async def complete_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """We ask for one stage, so there is money already; a payment that waits for its capture is captured."""
        found = await self.fetch_payment(ref)
        if found.state is not PaymentState.APPROVED:
            return found
        path = f"/payments/{_quoted(ref.provider_payment_id)}/capture"
        body = {"amount": amount(found.amount)}
        exchange = await self._write(path, body, f"capture-{idempotency_key}")
        return answers.of_ref(ref, read(exchange, payment_of, Doing.PAY))

    async def cancel_checkout(self, ref: PaymentRef, idempotency_key: str) -> PaymentSnapshot:
        """A link cannot be closed: it ends with its hour. Money that waits for its capture is released."""
        found = await self.fetch_payment(ref)
        if found.state is not PaymentState.APPROVED:
            return found
        path = f"/payments/{_quoted(ref.provider_payment_id)}/cancel"
        exchange = await self._write(path, {}, f"cancel-{idempotency_key}")
        return answers.of_ref(ref, read(exchange, payment_of, Doing.PAY))

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        if is_binding(ref):
            theirs = ref.provider_payment_id.removeprefix(answers.BINDING)
            exchange = await self._wire.read(f"/payment_methods/{_quoted(theirs)}")
            return answers.of_ref(ref, read(exchange, self._binding, Doing.READ))
        exchange = await self._wire.read(f"/payments/{_quoted(ref.provider_payment_id)}")
        return answers.of_ref(ref, read(exchange, payment_of, Doing.READ))

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        """YooKassa searches by time alone, so this reads all payments since then, until ours is among them.

        Raises Unavailable when there are more than 30,000: it is not known then that there is none.
        """
        pages, start = 0, since
        for until in (*(since + length for length in _SEARCH_WINDOWS), None):
            found: list[PaymentSnapshot] = []
            async for payments in self._pages("/payments", payment_of, _window(start, until)):
                found += [payment for payment in payments if payment.payment_id == payment_id]
                pages += 1
                if pages >= _SEARCH_PAGES_MAX:
                    raise Unavailable(NAME, "search_too_long", "more payments than a search reads")
            if found:
                return foremost(found)
            start = until or start
        return None

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        async for payments in self._pages("/payments", payment_of, _window(since, until)):
            for payment in payments:
                yield payment

    # ---- refunds and methods -------------------------------------------------------------------------------

    async def refund(self, req: RefundRequest) -> RefundSnapshot:
        if req.amount is None and (done := await self.find_refund(req.refund_id, req.payment)):
            return done  # what is left now is not what was left then
        money = req.amount or await self._left(req.payment)
        body: dict[str, Any] = {
            "payment_id": req.payment.provider_payment_id,
            "amount": amount(money),
            "metadata": {"refund_id": req.refund_id},
        }
        if self._receipts:
            body["receipt"] = self._receipts.receipt(req.description, money, req.customer_email)
        exchange = await self._write("/refunds", body, req.idempotency_key)
        return answers.refund_for(req, money, read(exchange, refund_of, Doing.REFUND))

    async def fetch_refund(self, provider_refund_id: str, payment: PaymentRef) -> RefundSnapshot:  # noqa: ARG002
        return read(await self._wire.read(f"/refunds/{_quoted(provider_refund_id)}"), refund_of, Doing.READ)

    async def find_refund(self, refund_id: str, payment: PaymentRef) -> RefundSnapshot | None:
        async for refund in self.list_refunds(payment):
            if refund.our_refund_id == refund_id:
                return refund
        return None

    async def list_refunds(self, payment: PaymentRef) -> AsyncIterator[RefundSnapshot]:
        params = {"payment_id": payment.provider_payment_id}
        async for refunds in self._pages("/refunds", refund_of, params):
            for refund in refunds:
                answers.same("payment", payment.provider_payment_id, refund.payment.provider_payment_id)
                yield refund

    async def forget_method(self, method: SavedMethodRef) -> None:
        """YooKassa has no call for it: we forget the method, and its customer may withdraw consent at YooKassa."""

    # ---- webhooks ------------------------------------------------------------------------------------------

    async def parse_webhook(self, raw: RawWebhook) -> Sequence[ProviderEvent]:
        if not is_theirs(raw.source_ip, self._networks):
            raise WebhookRejected(NAME, "foreign_address", "it does not come from an address of the provider")
        try:
            return [hint_of(raw.body)]
        except Unreadable as finding:
            failure: ProviderError = WebhookUnreadable(NAME, str(finding), "the webhook cannot be read")
        raise failure

    # ---- calls ---------------------------------------------------------------------------------------------

    async def _bind(self, req: CheckoutRequest, confirmation: dict[str, str]) -> PaymentSnapshot:
        """A card that is verified and saved, and pays nothing: for a trial."""
        body = {"type": "bank_card", "confirmation": confirmation}
        exchange = await self._write("/payment_methods", body, req.idempotency_key)
        answered = answers.with_link(read(exchange, self._binding, Doing.PAY), exchange)
        answers.same("amount", req.amount, answered.amount)
        return replace(answered, payment_id=req.payment_id, order_id=req.order_id)

    def _binding(self, body: object) -> PaymentSnapshot:
        return binding_of(body, self._currency, livemode=self._livemode)

    def _priced(self, req: CheckoutRequest | ChargeRequest, email: str | None) -> dict[str, Any]:
        ours = {"payment_id": req.payment_id, "order_id": req.order_id}
        body: dict[str, Any] = {
            "amount": amount(req.amount),
            "capture": True,
            "description": req.description,
            "metadata": {**req.metadata, **ours},
        }
        if self._receipts:
            body["receipt"] = self._receipts.receipt(req.description, req.amount, email)
        return body

    async def _left(self, payment: PaymentRef) -> Money:
        """What can be given back of it. Raises RefundRejected when there is nothing."""
        found = await self.fetch_payment(payment)
        if found.captured.minor <= found.refunded.minor:
            raise RefundRejected(NAME, "nothing_left", "nothing is left to give back")
        return found.captured - found.refunded

    async def _write(self, path: str, body: dict[str, Any], key: str) -> Exchange:
        return await self._wire.write("POST", path, body, key_of(key))

    async def _pages(
        self, path: str, of: Callable[[object], T], params: dict[str, str]
    ) -> AsyncIterator[list[T]]:
        """The pages of a list, newest first. Raises Unavailable when they do not end."""
        params = {**params, "limit": str(_PAGE)}
        for _ in range(_PAGES_MAX):
            found, cursor = page(await self._wire.read(path, params), of)
            yield found
            if cursor is None:
                return
            if cursor == params.get("cursor"):
                break
            params["cursor"] = cursor
        raise Unavailable(NAME, "endless_list", "the pages of a list do not end")


def _window(since: datetime, until: datetime | None) -> dict[str, str]:
    before = {"created_at.lt": instant_of(until)} if until else {}
    return {"created_at.gte": instant_of(since), **before}


def _quoted(provider_id: str) -> str:
    return quote(provider_id, safe="")
