"""What the conformance kit asks of a provider: its client, and its side of every story.

A new provider brings a subclass of ProviderSimulator for its face of the sandbox, named in adapters.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar

import httpx

from infra.sandbox.engine.cards import BY_SLUG
from infra.sandbox.launch import SandboxHandle
from shared_lib.asking.webhooks import refreshed
from shared_lib.ids import new_id
from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    Money,
    PaymentProvider,
    PaymentRef,
    PaymentSnapshot,
    ProviderEvent,
    RawWebhook,
    RefundRequest,
    SavedMethodRef,
    Trust,
)
from shared_lib.providers.sandbox import SandboxProvider
from tests.kit.waiting import PATIENCE_S
from tests.providers.inbox import Delivery, Inbox

PRICE = Money(1299, "EUR")
READ_TIMEOUT_S = 0.4  # shorter than the trouble of a hanging call


class ProviderSimulator(ABC):
    """One provider under test: its client, and its side of every story, told over the sandbox's control surface.

    A subclass says what its wire format calls things. `tampering` maps neutral names to fields that replace those of an answer:
    amount, currency, captured, status, another_payment, no_metadata; refund_amount, refund_currency, refund_payment,
    refund_metadata.
    """

    name: ClassVar[str]  # the client's
    face: ClassVar[str]  # the sandbox's
    signs: ClassVar[bool]  # whether its webhooks are signed
    types: ClassVar[Mapping[str, tuple[str, ...]]]  # neutral kind of a webhook -> types on the wire
    payment_types: ClassVar[str] = "*"  # glob: one of these webhooks per change of a checkout
    tells_pending: ClassVar[bool] = True  # whether a payment that is under way has a webhook too
    closes_links: ClassVar[bool] = True  # whether a link can be closed before its time
    link_life: ClassVar[timedelta | None] = None  # of every link; None: what was asked for
    detaches: ClassVar[bool] = True  # whether a saved method can be deleted
    refund_failure: ClassVar[str] = "lost_or_stolen_card"  # why a refund failed, in the provider's words
    unknown_method: ClassVar[SavedMethodRef]
    unknown_payment: ClassVar[PaymentRef]
    tampering: ClassVar[Mapping[str, Mapping[str, object]]]

    def __init__(self, sandbox: SandboxHandle, inbox: Inbox, webhook_secrets: tuple[str, ...]) -> None:
        self._sandbox, self.inbox = sandbox, inbox
        self.secrets = (
            sandbox.api_key,
            *webhook_secrets,
            *(it.removeprefix("whsec_") for it in webhook_secrets),
        )
        self._webhook_secrets = webhook_secrets
        self.http = httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=PATIENCE_S)
        self._opened: list[PaymentProvider] = []
        self.provider = self.client()

    @abstractmethod
    def make(self, url: str, key: str, http: httpx.AsyncClient, timeout: httpx.Timeout) -> PaymentProvider:
        """A client for the sandbox at `url`."""

    @abstractmethod
    def in_the_bank(self, theirs: str) -> str:
        """The engine's id of an object, from the id on the wire."""

    def code(self, code: str) -> str:
        """What this provider calls a decline that the engine calls `code`."""
        return code

    @abstractmethod
    def forged(self, delivery: Delivery) -> list[tuple[dict[str, str], str]]:
        """Headers of forgers of this delivery, and the code with which each is refused; none where `signs` is False."""

    def other_order(self, payment_id: str) -> dict[str, object]:
        """An answer about the right payment of a wrong order."""
        return {"metadata": {"payment_id": payment_id, "order_id": "ord_other"}}

    def client(
        self, url: str | None = None, key: str | None = None, read_s: float = PATIENCE_S
    ) -> PaymentProvider:
        client = self.make(
            url or self._sandbox.url,
            key or self._sandbox.api_key,
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S),
            httpx.Timeout(PATIENCE_S, read=read_s),
        )
        self._opened.append(client)
        return client

    async def aclose(self) -> None:
        await self.post("webhooks", {"mode": None})
        await self.http.delete("/control/faults")
        for client in self._opened:
            await client.aclose()
        await self.http.aclose()

    # ---- the customer, the bank, the trouble ------------------------------------------------------------------

    async def pay(self, checkout_url: str, card: str = "success") -> httpx.Response:
        form = {"number": BY_SLUG[card].number, "expires": "12 / 34", "cvc": "123", "holder": "Ada"}
        return await self.http.post(checkout_url, data=form)

    async def trouble(self, kind: str, payment_id: str | None = None, **how: Any) -> None:
        metadata = {"payment_id": payment_id} if payment_id else {}
        await self.post("faults", {"kind": kind, "metadata": metadata, **how})

    async def tamper(self, what: str, payment_id: str | None = None, **how: Any) -> None:
        await self.trouble("tampered", payment_id, set=dict(self.tampering[what]), **how)

    async def decline_next(self, method: SavedMethodRef, *codes: str | None) -> None:
        await self.post(f"methods/{self.in_the_bank(method.method_id)}/next", {"codes": codes})

    async def succeed_late(self, ref: PaymentRef) -> None:
        await self.post(f"payments/{self.in_the_bank(ref.provider_payment_id)}/succeed", {})

    async def fail_refund(self, provider_refund_id: str) -> None:
        await self.post(f"refunds/{self.in_the_bank(provider_refund_id)}/fail", {})

    async def disturb_webhooks(self, mode: str, times: int) -> None:
        """Of changes of checkouts."""
        await self.post("webhooks", {"mode": mode, "times": times, "types": self.payment_types})

    async def release_webhooks(self) -> None:
        await self.post("webhooks/release", {"order": "reverse"})

    async def advance(self, by: timedelta) -> None:
        await self.post("clock", {"advance_s": by.total_seconds()})

    async def now(self) -> datetime:
        answer = await self.http.get("/control/clock")
        return datetime.fromisoformat(answer.json()["now"]).astimezone(UTC)

    # ---- webhooks that arrived --------------------------------------------------------------------------------

    async def deliveries(self, ours: str, kind: str, *, count: int = 1) -> list[Delivery]:
        """Webhooks of that neutral kind about our payment or refund, as soon as there are `count`."""
        return await self.inbox.wait(ours, self.types[kind], count=count)

    async def told(self, delivery: Delivery) -> ProviderEvent:
        """What our webhook door settles: the event, fetched again where the provider's client asks for that."""
        [event] = await self.provider.parse_webhook(await raw(self, delivery))
        return await refreshed(self.provider, event) if event.trust is Trust.HINT else event

    # ---- other clients ----------------------------------------------------------------------------------------

    def unreachable(self) -> PaymentProvider:
        return self.client(url="http://127.0.0.1:1")

    def wrong_key(self) -> PaymentProvider:
        return self.client(key="sk_sandbox_somebody_else")

    def hasty(self) -> PaymentProvider:
        return self.client(read_s=READ_TIMEOUT_S)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(f"/control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said


class SandboxSimulator(ProviderSimulator):
    """The sandbox's own wire format."""

    name = "sandbox"
    face = "native"
    signs = True
    types = MappingProxyType(
        {
            "payment": ("payment.",),
            "payment.succeeded": ("payment.succeeded",),
            "payment.expired": ("payment.expired",),
            "refund.succeeded": ("refund.succeeded",),
            "refund.failed": ("refund.failed",),
        }
    )
    unknown_method = SavedMethodRef(provider="sandbox", method_id="sm_nobody")
    unknown_payment = PaymentRef(provider="sandbox", provider_payment_id="sp_nobody/../x")
    tampering = MappingProxyType(
        {
            "amount": {"amount_minor": 1},
            "currency": {"currency": "USD"},
            "another_payment": {"metadata": {"payment_id": "pay_other", "order_id": "ord_other"}},
            "no_metadata": {"metadata": {}},
            "captured": {"captured_minor": 1},
            "status": {"status": "quantum"},
            "refund_amount": {"amount_minor": 301},
            "refund_currency": {"currency": "USD"},
            "refund_payment": {"payment": "sp_other"},
            "refund_metadata": {"metadata": {"refund_id": "x"}},
        }
    )

    def make(self, url: str, key: str, http: httpx.AsyncClient, timeout: httpx.Timeout) -> PaymentProvider:
        return SandboxProvider(
            base_url=url, api_key=key, webhook_secrets=self._webhook_secrets, http=http, timeout=timeout
        )

    def in_the_bank(self, theirs: str) -> str:
        return theirs

    def forged(self, delivery: Delivery) -> list[tuple[dict[str, str], str]]:
        signature = delivery.headers["webhook-signature"].partition(",")[2]
        forgeries = (
            ({"webhook-signature": "v1,bm90IGl0"}, "bad_signature"),
            ({"webhook-signature": ""}, "bad_signature"),
            ({"webhook-signature": f"v2,{signature}"}, "bad_signature"),
            ({"webhook-id": "evt_other"}, "bad_signature"),
            ({"webhook-id": ""}, "missing_headers"),
            ({"webhook-timestamp": "soon"}, "bad_timestamp"),
            ({"webhook-timestamp": "²"}, "bad_timestamp"),
        )
        return [(delivery.headers | headers, code) for headers, code in forgeries]


# ---- requests as a test wants them -------------------------------------------------------------------------


def checkout_of(payment_id: str | None = None, amount: Money = PRICE, **changed: Any) -> CheckoutRequest:
    payment_id = payment_id or new_id("pay")
    standard: dict[str, Any] = {
        "payment_id": payment_id,
        "order_id": new_id("ord"),
        "amount": amount,
        "description": "Blade Runner",
        "return_url": "https://cinema.example/orders?from=pay",
        "cancel_url": "https://cinema.example/cart",
        "idempotency_key": payment_id,
    }
    return CheckoutRequest(**standard | changed)


def charge_of(method: SavedMethodRef, payment_id: str | None = None, amount: Money = PRICE) -> ChargeRequest:
    payment_id = payment_id or new_id("pay")
    return ChargeRequest(
        payment_id=payment_id,
        order_id=new_id("ord"),
        amount=amount,
        method=method,
        description="Cinema monthly",
        idempotency_key=payment_id,
    )


def refund_of(payment: PaymentSnapshot, amount: Money | None = None) -> RefundRequest:
    refund_id = new_id("ref")
    return RefundRequest(payment=payment.ref, refund_id=refund_id, amount=amount, idempotency_key=refund_id)


async def paid(simulator: ProviderSimulator, card: str = "success", **changed: Any) -> PaymentSnapshot:
    """A checkout that went through."""
    opened = await simulator.provider.create_checkout(checkout_of(**changed))
    assert opened.checkout_url is not None
    await simulator.pay(opened.checkout_url, card)
    return await simulator.provider.fetch_payment(opened.ref)


async def saved_method(simulator: ProviderSimulator, card: str = "success") -> SavedMethodRef:
    payment = await paid(simulator, card, save_method=True)
    assert payment.saved_method is not None
    return payment.saved_method


async def raw(simulator: ProviderSimulator, delivery: Delivery, **changed: Any) -> RawWebhook:
    standard: dict[str, Any] = {
        "headers": delivery.headers,
        "body": delivery.body,
        "source_ip": "127.0.0.1",
        "received_at": await simulator.now(),
    }
    return RawWebhook(**standard | changed)
