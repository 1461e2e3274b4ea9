"""What one POST to a provider costs a door's process, by client: python -m benchmarks.provider_call [--rounds 5] [--posts 640]

The server is `benchmarks.provider` in a process of its own. Every client sends the body of a checkout and reads the answer as the
sandbox's client does; every leg is another client's, with 1, 4, 16 and 64 posts in flight. The figure is processor time of this
process in microseconds, threads included. httpx-aiohttp and pyreqwest are measured where they are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import aiohttp
import httpx
import uvloop

from benchmarks.figures import rotated, spread
from benchmarks.provider import API_KEY
from infra.servers.ports import free_port, wait_for_http
from shared_lib.fetching import Http
from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.base import CheckoutRequest, Money, PaymentState
from shared_lib.providers.sandbox import SandboxProvider
from shared_lib.providers.transport import TIMEOUT, Bearer, Transport
from shared_lib.untrusted import json_of

IN_FLIGHT: Final = (1, 4, 16, 64)
BODY: Final[Mapping[str, object]] = {
    "amount_minor": 1299, "currency": "EUR", "description": "Metropolis",
    "metadata": {"payment_id": "pay_01KC3W8Q6Z5W7Y0J2M4N6P8R9S", "order_id": "ord_01KC3W8Q6Z5W7Y0J2M4N6P8R9S"},
    "return_url": "https://cinema.example/thanks", "cancel_url": "https://cinema.example/thanks", "save_method": False,
    "customer_ref": "cus_1", "customer_email": "ann@example.com", "customer_id": None, "locale": "en",
    "expires_in_s": 86_400,
}  # fmt: skip
CHECKOUT: Final = CheckoutRequest(
    payment_id="pay_01KC3W8Q6Z5W7Y0J2M4N6P8R9S", order_id="ord_01KC3W8Q6Z5W7Y0J2M4N6P8R9S", amount=Money(1299, "EUR"),
    description="Metropolis", return_url="https://cinema.example/thanks", cancel_url="https://cinema.example/thanks",
    customer_ref="cus_1", customer_email="ann@example.com", locale="en", expires_in=timedelta(days=1), idempotency_key="pay_1",
)  # fmt: skip

Post = Callable[[], Awaitable[None]]
Client = tuple[Post, Callable[[], Awaitable[None]]]
"""Sends one POST; closes the client."""


def through(http: Http, url: str) -> Client:
    """As the sandbox's client sends it."""
    provider = Transport("sandbox", url, http, Bearer(API_KEY), TIMEOUT)

    async def post() -> None:
        exchange = await provider.write("POST", "/v1/checkouts", BODY, "pay_1")
        assert exchange.status == 200
        assert exchange.body["status"] == "pending"

    return post, http.aclose


def checkout(url: str) -> Client:
    """The whole call: what a door's process does for one payment."""
    provider = SandboxProvider(base_url=url, api_key=API_KEY, webhook_secrets=(), http=AiohttpTransport())

    async def post() -> None:
        assert (await provider.create_checkout(CHECKOUT)).state is PaymentState.PENDING

    return post, provider.aclose


def aiohttp_alone(url: str) -> Client:
    """As its documentation shows it: the least that a client over it can cost."""
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    headers = {"authorization": f"Bearer {API_KEY}", "idempotency-key": "pay_1"}

    async def post() -> None:
        asked = session.post(f"{url}/v1/checkouts", data=json.dumps(BODY).encode(), headers=headers)
        async with asyncio.timeout(30), asked as answer:
            assert json_of(await answer.read())["status"] == "pending"

    return post, session.close


def of_package(module: str, name: str) -> Callable[[str], Client]:
    """A transport of another package, below httpx's client."""
    return lambda url: through(httpx.AsyncClient(transport=getattr(import_module(module), name)()), url)


CLIENTS: Final[dict[str, Callable[[str], Client]]] = {
    "httpx.AsyncClient": lambda url: through(httpx.AsyncClient(timeout=TIMEOUT), url),
    "our transport": lambda url: through(AiohttpTransport(), url),
    "create_checkout over our transport": checkout,
    "our transport below httpx.AsyncClient": lambda url: through(
        httpx.AsyncClient(transport=AiohttpTransport()), url
    ),
    "aiohttp alone": aiohttp_alone,
}
OF_PACKAGES: Final = {
    "httpx-aiohttp below httpx.AsyncClient": ("httpx_aiohttp", "httpx_aiohttp", "AiohttpTransport"),
    "pyreqwest below httpx.AsyncClient": ("pyreqwest", "pyreqwest.compatibility.httpx", "HttpxTransport"),
}


async def leg(make: Callable[[str], Client], url: str, in_flight: int, posts: int) -> float:
    """Microseconds of processor time of one POST; connections are open already."""
    post, close = make(url)

    async def one_after_the_other(count: int) -> None:
        for _ in range(count):
            await post()

    await asyncio.gather(*(one_after_the_other(5) for _ in range(in_flight)))
    each = max(1, posts // in_flight)
    began = time.process_time()
    await asyncio.gather(*(one_after_the_other(each) for _ in range(in_flight)))
    used_us = 1e6 * (time.process_time() - began) / (each * in_flight)
    await close()
    return used_us


async def measure(url: str, rounds: int, posts: int) -> dict[str, dict[int, list[float]]]:
    """Of each client and number in flight, the legs. Another client begins each round."""
    clients = CLIENTS | {
        title: of_package(module, name)
        for title, (package, module, name) in OF_PACKAGES.items()
        if find_spec(package)
    }
    found: dict[str, dict[int, list[float]]] = {title: {} for title in clients}
    for n in range(rounds):
        for in_flight in IN_FLIGHT:
            for title in rotated(list(clients), n):
                used_us = await leg(clients[title], url, in_flight, posts)
                found[title].setdefault(in_flight, []).append(used_us)
    return found


def table(found: Mapping[str, Mapping[int, list[float]]]) -> str:
    lines = [
        f"| in flight | {' | '.join(map(str, IN_FLIGHT))} |",
        f"| {' | '.join(['---'] * (len(IN_FLIGHT) + 1))} |",
    ]
    for title, legs in sorted(found.items(), key=lambda item: -statistics.median(item[1][IN_FLIGHT[-1]])):
        lines.append(f"| {title} | {' | '.join(spread(legs[n]) for n in IN_FLIGHT)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.provider_call", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=640, help="of each leg")
    options = parser.parse_args()
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.provider", str(port)])
    try:
        wait_for_http(f"http://127.0.0.1:{port}")
        print(table(uvloop.run(measure(f"http://127.0.0.1:{port}", options.rounds, options.posts))))
    finally:
        server.terminate()
        server.wait(timeout=20)


if __name__ == "__main__":
    main()
