"""SIGTERM ends every process, whatever it waits for at that moment. The processes run as they do in production."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx
import pytest

from infra.servers.ports import free_port
from tests.kit.answers import order_body
from tests.kit.cinema import Cinema
from tests.kit.instance import environment
from tests.kit.proxy import proxy_to

ROOT = Path(__file__).parents[2]
# A process that ends takes a few seconds of these; one that does not takes all of them.
GUARD_S = 90.0


@dataclass
class Program:
    process: asyncio.subprocess.Process
    output: IO[bytes]
    url: str

    async def stopped(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(GUARD_S):
            await self.process.wait()

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read().decode(errors="replace")


@asynccontextmanager
async def program(cinema: Cinema, *argv: str, **more: str) -> AsyncIterator[Program]:
    """A process with the settings of the cinema and `more`."""
    with TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *argv, cwd=ROOT, stdout=output, stderr=output,
            env=os.environ | environment(cinema.rt.settings) | {"PYTHONPATH": str(ROOT)} | more,
        )  # fmt: skip
        try:
            yield Program(process, output, "")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def door(cinema: Cinema, name: str, **more: str) -> AsyncIterator[Program]:
    port = free_port()
    argv = [
        "functions",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    async with program(cinema, *argv, "--timeout-graceful-shutdown", "2", FUNCTION=name, **more) as one:
        one.url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(GUARD_S):
            while not await listens(one):
                assert one.process.returncode is None, one.said()
                await asyncio.sleep(0.05)
        yield one


async def listens(one: Program) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(one.url + "/livez")).is_success
    except httpx.TransportError:
        return False


def calls(cinema: Cinema, url: str, count: int = 6) -> list[asyncio.Task[Any]]:
    """Orders of as many customers, under way."""

    async def call(customer: str) -> None:
        headers = {"authorization": f"Bearer {cinema.token(customer)}", "idempotency-key": "k"}
        async with httpx.AsyncClient(timeout=GUARD_S) as http:
            await http.post(url + "/v1/orders", json=order_body(), headers=headers)

    return [asyncio.create_task(call(f"customer-{n}")) for n in range(count)]


async def over(under_way: list[asyncio.Task[Any]]) -> None:
    """Their connections have ended with the process."""
    async with asyncio.timeout(GUARD_S):
        await asyncio.gather(*under_way, return_exceptions=True)


@pytest.mark.parametrize("setting", ["database_url", "redis_url", "sandbox_url", "auth_jwks_url"])
async def test_a_door_ends_while_something_behind_it_is_silent(cinema: Cinema, setting: str) -> None:
    address = getattr(cinema.rt.settings, setting)
    with proxy_to(address) as wire:
        more = {f"BOXOFFICE_{setting.upper()}": wire.url, "BOXOFFICE_PROVIDER_ANSWER_S": "30"}
        wire.silent = setting == "auth_jwks_url"  # from the beginning: the keys are fetched once
        async with door(cinema, "create_order", **more) as one:
            wire.silent = True
            under_way = calls(cinema, one.url)
            await wire.until_swallowed()
            await one.stopped()
            await over(under_way)


async def test_a_door_ends_while_customers_wait_for_their_orders(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    async with door(cinema, "account") as one, httpx.AsyncClient(timeout=GUARD_S) as http:
        headers = {"authorization": f"Bearer {cinema.token()}"}
        path = f"{one.url}/v1/orders/{order['id']}"
        assert (await http.get(path, headers=headers)).status_code == 200
        under_way = [asyncio.create_task(http.get(f"{path}?wait=25", headers=headers)) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in under_way)
        await one.stopped()
        await over(under_way)


@pytest.mark.parametrize("worker", ["relay", "clock"])
async def test_a_worker_ends_while_a_door_does_not_answer(cinema: Cinema, worker: str) -> None:
    with proxy_to(cinema.url) as wire:
        wire.silent = True
        routes = {"billing.": wire.url, "billing.tick.renewal": wire.url, "billing.tick.reconcile": wire.url}
        await cinema.order("prc_metropolis_buy")  # so that there is something to deliver
        argv, more = f"shared_lib.workers.{worker}", {"BOXOFFICE_EVENT_ROUTES": json.dumps(routes)}
        async with program(cinema, argv, **more) as one:
            async with asyncio.timeout(GUARD_S):
                await wire.until_swallowed()
            await one.stopped()


async def test_a_relay_ends_while_postgresql_is_silent(cinema: Cinema) -> None:
    with proxy_to(cinema.database_url) as wire:
        async with program(cinema, "shared_lib.workers.relay", BOXOFFICE_DATABASE_URL=wire.url) as one:
            async with asyncio.timeout(GUARD_S):
                owned = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                while not cinema.value(owned):  # noqa: ASYNC110  # PostgreSQL tells it no other way
                    await asyncio.sleep(0.05)
                wire.silent = True
                await wire.until_swallowed()
            await one.stopped()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("redis_url", "redis://:hunter2@127.0.0.1:port/0"),
        ("database_url", "postgresql://ann:hunter2@[127.0.0.1/boxoffice"),
        ("database_url", "hunter2"),
    ],
)
async def test_an_address_that_cannot_be_read_ends_a_door_at_its_start(
    cinema: Cinema, setting: str, value: str
) -> None:
    argv = ["functions", "--port", str(free_port())]
    more = {"FUNCTION": "create_order", f"BOXOFFICE_{setting.upper()}": value}
    async with program(cinema, *argv, **more) as one:
        async with asyncio.timeout(GUARD_S):
            assert await one.process.wait() != 0
        assert setting in one.said().lower()  # by its name in the environment
        assert "hunter2" not in one.said()


async def test_a_door_without_redis_takes_orders_and_ends(cinema: Cinema) -> None:
    async with door(cinema, "create_order", BOXOFFICE_REDIS_URL="") as one:
        async with asyncio.timeout(GUARD_S):
            await asyncio.gather(*calls(cinema, one.url))
        assert cinema.value("SELECT count(*) FROM orders") == 6
        await one.stopped()
