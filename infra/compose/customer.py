"""One customer of the load: orders, pays, waits until the film may be watched, and does not give up early."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any, Final

import httpx

from infra.local.home import Running
from infra.local.town import CARD, form_action

PRICE: Final = "prc_metropolis_buy"
PATIENCE_S: Final = 150.0
AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 4.0


class GaveUpError(RuntimeError):
    """It took longer than anybody waits."""


class Customer:
    """What came of it is in `order`, `failed` and `watches`."""

    def __init__(self, id_: str, running: Running, http: httpx.AsyncClient) -> None:
        self.id = id_
        self.order: dict[str, Any] = {}
        self.watches = False
        self.failed = ""
        self._running, self._http = running, http
        self._key = str(uuid.uuid4())
        self._token = ""

    async def visit(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._token = await self._fetch_token()
                await self._orders()
                await self._pays()
                while self.order["status"] == "pending":
                    self.order = (await self._ask("GET", f"/v1/orders/{self.order['id']}?wait=10")).json()
                items = (await self._ask("GET", "/v1/entitlements")).json()["items"]
                self.watches = len(items) == 1
        except (TimeoutError, GaveUpError) as error:
            self.failed = f"{type(error).__name__}: {error} at {self.order.get('id', 'the first call')}"

    async def _fetch_token(self) -> str:
        while True:
            try:
                wanted = {"sub": self.id, "scopes": ["billing:customer"], "email": f"{self.id}@example.com"}
                answer = await self._http.post(f"{self._running.auth}/token", json=wanted)
                return str(answer.raise_for_status().json()["access_token"])
            except httpx.HTTPError:
                await asyncio.sleep(AGAIN_S)

    async def _orders(self) -> None:
        body = {"price_id": PRICE, "return_url": self._running.public + "/thanks"}
        self.order = (await self._ask("POST", "/v1/orders", body)).json()
        while self.order["status"] == "pending" and not self.order["checkout_url"]:
            self.order = (await self._ask("GET", f"/v1/orders/{self.order['id']}?wait=5")).json()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Until there is an answer that a client takes for one. The key stays the same."""
        headers = {"authorization": f"Bearer {self._token}"}
        if method == "POST":
            headers["idempotency-key"] = self._key
        wait_s = AGAIN_S
        while True:
            try:
                answer = await self._http.request(
                    method, self._running.gateway + path, json=body, headers=headers
                )
                if answer.is_success:
                    return answer
                passing = answer.status_code in (429, 500, 502, 503, 504)
                if not passing and answer.json().get("code") != "idempotency_key_in_flight":
                    raise GaveUpError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            except httpx.TransportError:
                pass
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s = min(wait_s * 2, AGAIN_MAX_S)

    async def _pays(self) -> None:
        """On the provider's page. Whoever does not know whether it worked looks at the page again."""
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
