"""What customers do, run inside the cluster: `python - WHAT ...` in the visitors' pod, with this file on standard input.

Each line of standard output is one JSON object. Requests are never repeated here, so what is lost is seen; only `buy` is as
patient as a customer is. Everything goes through the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import httpx

from infra.demo.town import CARD, form_action

GATEWAY: Final = "http://gateway:8080"
AUTH: Final = "http://auth:8080"
MAIL: Final = "http://mail:5000"
PUBLIC: Final = "http://127.0.0.1:8080"  # what customers call the gateway
FILM: Final = "prc_metropolis_buy"
ANSWER_S: Final = 60.0
PAID_S: Final = 120.0


class Customer:
    """One customer with a token, on connections of the given client."""

    def __init__(self, http: httpx.AsyncClient, name: str, token: str) -> None:
        self.name, self._http = name, http
        self._headers = {"authorization": f"Bearer {token}"}

    async def order(self) -> httpx.Response:
        body = {"price_id": FILM, "return_url": PUBLIC + "/thanks"}
        headers = self._headers | {"idempotency-key": str(uuid.uuid4())}
        return await self._http.post(f"{GATEWAY}/v1/orders", json=body, headers=headers)

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(GATEWAY + path, headers=self._headers)

    async def pay(self, checkout_url: str) -> None:
        page = await self._http.get(checkout_url.replace(PUBLIC, GATEWAY, 1))
        action = form_action(page)
        assert action is not None, page.text
        typed = {"number": CARD, "expires": "12 / 69", "cvc": "123", "holder": "A Customer"}
        answer = await self._http.post(action, data=typed, follow_redirects=False)
        assert answer.status_code == 303, answer.text


async def customer(http: httpx.AsyncClient, name: str = "") -> Customer:
    name = name or f"visitor-{uuid.uuid4().hex[:12]}"
    wanted = {"sub": name, "scopes": ["billing:customer"], "email": f"{name}@example.com", "locale": "en"}
    answer = await http.post(f"{AUTH}/token", json=wanted)
    return Customer(http, name, answer.raise_for_status().json()["access_token"])


async def buy(http: httpx.AsyncClient, name: str) -> None:
    """Order, pay, wait until it is paid."""
    one = await customer(http, name)
    began = time.monotonic()
    placed = await one.order()
    tell(what="placed", status=placed.status_code, seconds=time.monotonic() - began, body=placed.text)
    order = placed.raise_for_status().json()
    while not order["checkout_url"] and time.monotonic() - began < PAID_S:
        order = (await one.get(f"/v1/orders/{order['id']}?wait=5")).raise_for_status().json()
    await one.pay(order["checkout_url"])
    while order["status"] == "pending" and time.monotonic() - began < PAID_S:
        order = (await one.get(f"/v1/orders/{order['id']}?wait=5")).raise_for_status().json()
    tell(what="bought", order=order, seconds=time.monotonic() - began)


async def place(http: httpx.AsyncClient, count: int) -> None:
    """`count` orders at once, and whatever the answers are."""
    buyers = [await customer(http) for _ in range(count)]

    async def one_order(one: Customer) -> dict[str, Any]:
        began = time.monotonic()
        try:
            answer = told(await one.order())
        except httpx.HTTPError as error:
            answer = {"status": 0, "type": "", "body": repr(error)}
        return answer | {"seconds": time.monotonic() - began}

    tell(what="answered", answers=await asyncio.gather(*(one_order(one) for one in buyers)))


async def ask(http: httpx.AsyncClient, path: str) -> None:
    one = await customer(http)
    began = time.monotonic()
    answer = await one.get(path)
    tell(what="answered", **told(answer), seconds=time.monotonic() - began)


async def event(http: httpx.AsyncClient, url: str) -> None:
    """A CloudEvent that a pod makes up: it knows the door's name and no secret."""
    headers = {
        "ce-id": uuid.uuid4().hex,
        "ce-source": "/visitors",
        "ce-specversion": "1.0",
        "ce-type": "billing.tick.reconcile",
    }
    tell(what="answered", **told(await http.post(url, json={}, headers=headers)))


async def poll(http: httpx.AsyncClient, count: int, wait_s: int, rounds: int) -> None:
    """`count` customers order and do not pay; all wait for a change that does not come, `rounds` times."""
    waiting = [await customer(http) for _ in range(count)]
    orders = [(await one.order()).raise_for_status().json() for one in waiting]
    # Each is answered once before, so that no poll meets a door that still has to start.
    (await waiting[0].get("/v1/entitlements")).raise_for_status()
    tell(what="polling")

    async def polls_of(one: Customer, order: dict[str, Any]) -> list[dict[str, Any]]:
        polls = []
        for _ in range(rounds):
            began = time.monotonic()
            try:
                result = str((await one.get(f"/v1/orders/{order['id']}?wait={wait_s}")).status_code)
            except httpx.HTTPError as error:
                result = repr(error)
            polls.append({"result": result, "seconds": time.monotonic() - began})
        return polls

    pairs = zip(waiting, orders, strict=True)
    found = await asyncio.gather(*(polls_of(one, order) for one, order in pairs))
    tell(what="polled", polls=[one for polls in found for one in polls])


async def load(http: httpx.AsyncClient, clients: int, seconds: float) -> None:
    """Each client orders, and the next order follows the answer; every answer and every failure is counted."""
    counts: Counter[str] = Counter()
    lasted: list[float] = []
    end = 0.0

    async def client(one: Customer) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                answer = await one.order()
                result = (
                    str(answer.status_code)
                    if answer.is_success
                    else f"{answer.status_code} {answer.text[:200]}"
                )
            except httpx.HTTPError as error:
                result = repr(error)
            counts[result] += 1
            lasted.append(time.monotonic() - began)
            # A customer may have ten open orders, so the next order is another customer's.
            one = await customer(http)

    customers = [await customer(http) for _ in range(clients)]
    tell(what="loading")
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(one) for one in customers))
    lasted.sort()
    tell(what="loaded", counts=counts, p50_s=lasted[len(lasted) // 2], worst_s=lasted[-1])


async def mails(http: httpx.AsyncClient) -> None:
    """The recipients of every mail that left."""
    sent = (await http.get(f"{MAIL}/moto-api/data.json")).raise_for_status().json().get("ses", {})
    tell(what="mails", recipients=[to for mail in sent.get("RawMessage", []) for to in mail["destinations"]])


def told(answer: httpx.Response) -> dict[str, Any]:
    return {
        "status": answer.status_code,
        "type": answer.headers.get("content-type", ""),
        "retry_after": answer.headers.get("retry-after", ""),
        "body": answer.text,
    }


def tell(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def main(arguments: Sequence[str]) -> None:
    what, *rest = arguments
    options = argparse.ArgumentParser()
    options.add_argument("--name", default="")
    options.add_argument("--path", default="/v1/entitlements")
    options.add_argument("--url", default="")
    options.add_argument("--count", type=int, default=1)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--seconds", type=float, default=10.0)
    said = options.parse_args(rest)
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=ANSWER_S, limits=limits, trust_env=False) as http:
        match what:
            case "buy":
                await buy(http, said.name)
            case "place":
                await place(http, said.count)
            case "ask":
                await ask(http, said.path)
            case "event":
                await event(http, said.url)
            case "poll":
                await poll(http, said.count, int(said.seconds), said.rounds)
            case "load":
                await load(http, said.count, said.seconds)
            case "mails":
                await mails(http)
            case _:
                raise SystemExit(f"{what!r} is nothing that visitors do")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
