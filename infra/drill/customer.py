"""One customer of the load: orders, pays, waits for access, and retries until PATIENCE_S is over."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

import httpx

from infra.demo.cinema import Cinema
from infra.demo.town import CARD, form_action
from infra.local.home import Running

FILM: Final = "prc_metropolis_buy"
PLAN: Final = "prc_basic_month"
PATIENCE_S: Final = 150.0
AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 4.0
_NOT_YET: Final = ("idempotency_key_in_flight", "payment_unresolved")


class Wish(StrEnum):
    """What a customer does; together these use every door."""

    WATCH = "watch"  # buy a film and start it
    RETURN = "return"  # buy a film and give it back
    SUBSCRIBE = "subscribe"
    LEAVE = "leave"  # subscribe and opt out


class GaveUpError(RuntimeError):
    """An answer that retrying cannot change."""


class Customer:
    """The result is in `order`, `failed` and `served`."""

    def __init__(
        self, id_: str, wish: Wish, running: Running, http: httpx.AsyncClient, cinema: Cinema
    ) -> None:
        self.id, self.wish = id_, wish
        self._cinema = cinema
        self.order: dict[str, Any] = {}
        self.served = False
        self.failed = ""
        self._running, self._http = running, http
        self._keys: dict[str, str] = {}
        self._token = ""

    async def visit(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._token = await self._fetch_token()
                await self._orders()
                await self._pays()
                await self._until("paid")
                await self._then()
                items = (await self._ask("GET", "/v1/entitlements")).json()["items"]
                self.served = len(items) == (0 if self.wish is Wish.RETURN else 1)
        except (TimeoutError, GaveUpError) as error:
            self.failed = f"{type(error).__name__}: {error} at {self.order.get('id', 'the first call')}"

    async def _then(self) -> None:
        match self.wish:
            case Wish.WATCH:
                # At the time of payment, on the test clock.
                await self._cinema.send_started(
                    self.id, "prd_metropolis", datetime.fromisoformat(self.order["paid_at"])
                )
            case Wish.RETURN:
                await self._ask("POST", "/v1/refunds", {"order_id": self.order["id"], "reason": "wrong film"})
                await self._until("refunded")
            case Wish.LEAVE:
                path = f"/v1/subscriptions/{self.order['subscription_id']}"
                await self._ask("PATCH", path, {"auto_renew": False})
            case Wish.SUBSCRIBE:
                pass
            case _:
                assert_never(self.wish)

    async def _fetch_token(self) -> str:
        wanted = {"sub": self.id, "scopes": ["billing:customer"], "email": f"{self.id}@example.com"}
        while True:
            try:
                answer = await self._http.post(f"{self._running.auth}/token", json=wanted)
                return str(answer.raise_for_status().json()["access_token"])
            except httpx.HTTPError:
                await asyncio.sleep(AGAIN_S)

    async def _orders(self) -> None:
        price = FILM if self.wish in (Wish.WATCH, Wish.RETURN) else PLAN
        body = {"price_id": price, "return_url": self._running.public + "/thanks"}
        self.order = (await self._ask("POST", "/v1/orders", body)).json()
        while self.order["status"] == "pending" and not self.order["checkout_url"]:
            self.order = (await self._ask("GET", f"/v1/orders/{self.order['id']}?wait=5")).json()

    async def _until(self, status: str) -> None:
        """Long-poll until the status is reached. GaveUpError when the order has ended with another one."""
        while self.order["status"] != status:
            if self.order["status"] not in ("pending", "paid"):
                raise GaveUpError(f"{self.order['status']} instead of {status}")
            self.order = (await self._ask("GET", f"/v1/orders/{self.order['id']}?wait=5")).json()
            await asyncio.sleep(AGAIN_S / 4)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Retry until the answer is final, with the same Idempotency-Key each time."""
        headers = {"authorization": f"Bearer {self._token}"}
        if method == "POST":
            headers["idempotency-key"] = self._keys.setdefault(path, str(uuid.uuid4()))
        wait_s = AGAIN_S
        while True:
            try:
                answer = await self._http.request(
                    method, self._running.gateway + path, json=body, headers=headers
                )
                if answer.is_success:
                    return answer
                is_transient = answer.status_code in (429, 500, 502, 503, 504)
                if not is_transient and answer.json().get("code") not in _NOT_YET:
                    raise GaveUpError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            except httpx.TransportError:
                pass
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s = min(wait_s * 2, AGAIN_MAX_S)

    async def _pays(self) -> None:
        """Pay on the provider's page. After an error, the page itself shows whether the payment went through."""
        if self.order["status"] != "pending":
            return
        typed = {"number": CARD, "expires": "12 / 69", "cvc": "123", "holder": "A Customer"}
        url = self.order["checkout_url"].replace(self._running.public, self._running.gateway, 1)
        while True:
            try:
                page = await self._http.get(url)
                action = form_action(page)
                if page.is_success and action is None:
                    return  # "Paid. Thank you!"
                if action is not None:
                    answer = await self._http.post(action, data=typed, follow_redirects=False)
                    if answer.status_code == 303:
                        return
            except httpx.TransportError:
                pass
            await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.5))
