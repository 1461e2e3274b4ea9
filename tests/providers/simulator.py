"""What the contract suite asks of a provider's simulator. A new provider brings its own ProviderSimulator and its own client.

Every method is about the provider's side: its page, its clock, its trouble. What we do goes through `provider`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx

from infra.sandbox.engine.cards import BY_SLUG
from infra.sandbox.launch import SandboxHandle
from shared_lib.ids import new_id
from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    Money,
    PaymentProvider,
    PaymentRef,
    PaymentSnapshot,
    RawWebhook,
    RefundRequest,
    SavedMethodRef,
)
from shared_lib.providers.sandbox import SandboxProvider
from tests.kit.waiting import PATIENCE_S
from tests.providers.inbox import Delivery, Inbox

PRICE = Money(1299, "EUR")
READ_TIMEOUT_S = 0.4  # shorter than the trouble of a hanging call


class ProviderSimulator(Protocol):
    provider: PaymentProvider
    inbox: Inbox
    secrets: tuple[str, ...]  # words that must never be shown

    async def pay(self, checkout_url: str, card: str = "success") -> httpx.Response: ...
    async def trouble(self, kind: str, payment_id: str | None = None, **how: Any) -> None: ...
    async def decline_next(self, method: SavedMethodRef, *codes: str | None) -> None: ...
    async def succeed_late(self, ref: PaymentRef) -> None: ...
    async def fail_refund(self, provider_refund_id: str) -> None: ...
    async def disturb_webhooks(self, mode: str, times: int) -> None: ...
    async def release_webhooks(self) -> None: ...
    async def advance(self, by: timedelta) -> None: ...
    async def now(self) -> datetime: ...
    def unreachable(self) -> PaymentProvider: ...
    def wrong_key(self) -> PaymentProvider: ...
    def hasty(self) -> PaymentProvider: ...


class SandboxSimulator:
    """The sandbox, over HTTP, with the client under test and a client of the tests' own for the rest."""

    def __init__(self, sandbox: SandboxHandle, inbox: Inbox, webhook_secrets: tuple[str, ...]) -> None:
        self._sandbox, self.inbox = sandbox, inbox
        self.secrets = (
            sandbox.api_key,
            *webhook_secrets,
            *(it.removeprefix("whsec_") for it in webhook_secrets),
        )
        self._webhook_secrets = webhook_secrets
        self.http = httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=PATIENCE_S)
        self._opened: list[SandboxProvider] = []
        self.provider: PaymentProvider = self.client()

    def client(
        self, url: str | None = None, key: str | None = None, read_s: float = PATIENCE_S
    ) -> SandboxProvider:
        client = SandboxProvider(
            base_url=url or self._sandbox.url,
            api_key=key or self._sandbox.api_key,
            webhook_secrets=self._webhook_secrets,
            http=httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S),
            timeout=httpx.Timeout(PATIENCE_S, read=read_s),
        )
        self._opened.append(client)
        return client

    async def aclose(self) -> None:
        await self.post("webhooks", {"mode": None})
        await self.http.delete("/control/faults")
        for client in self._opened:
            await client.aclose()
        await self.http.aclose()

    async def pay(self, checkout_url: str, card: str = "success") -> httpx.Response:
        form = {"number": BY_SLUG[card].number, "expires": "12 / 34", "cvc": "123", "holder": "Ada"}
        return await self.http.post(checkout_url, data=form)

    async def trouble(self, kind: str, payment_id: str | None = None, **how: Any) -> None:
        metadata = {"payment_id": payment_id} if payment_id else {}
        await self.post("faults", {"kind": kind, "metadata": metadata, **how})

    async def decline_next(self, method: SavedMethodRef, *codes: str | None) -> None:
        await self.post(f"methods/{method.method_id}/next", {"codes": codes})

    async def succeed_late(self, ref: PaymentRef) -> None:
        await self.post(f"payments/{ref.provider_payment_id}/succeed", {})

    async def fail_refund(self, provider_refund_id: str) -> None:
        await self.post(f"refunds/{provider_refund_id}/fail", {})

    async def disturb_webhooks(self, mode: str, times: int) -> None:
        await self.post("webhooks", {"mode": mode, "times": times})

    async def release_webhooks(self) -> None:
        await self.post("webhooks/release", {"order": "reverse"})

    async def advance(self, by: timedelta) -> None:
        await self.post("clock", {"advance_s": by.total_seconds()})

    async def now(self) -> datetime:
        answer = await self.http.get("/control/clock")
        return datetime.fromisoformat(answer.json()["now"]).astimezone(UTC)

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


OpenSimulator = Callable[[], ProviderSimulator]


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
