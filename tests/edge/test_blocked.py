"""Another session keeps a row locked, or PostgreSQL does not answer: requests that need it get 503 within seconds, others succeed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from shared_lib.store.bounds import CONNECTION_S
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema, impatient
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.proxy import Proxy, proxy_to


async def subscription_of(cinema: Cinema, customer: str) -> str:
    await cinema.bought("prc_basic_month", customer=customer)
    found = await cinema.get("/v1/subscriptions", customer=customer)
    return f"/v1/subscriptions/{found['items'][0]['id']}"


async def test_a_locked_subscription_stops_its_own_customer_only(cinema: Cinema) -> None:
    anns, bobs = await subscription_of(cinema, "ann"), await subscription_of(cinema, "bob")

    async def toggled(path: str, customer: str) -> httpx.Response:
        return await cinema.call("PATCH", path, {"auto_renew": False}, customer=customer)

    with psycopg.connect(cinema.database_url) as db:
        db.execute("SELECT 1 FROM subscriptions WHERE customer_id = 'ann' FOR UPDATE")
        blocked = [asyncio.create_task(toggled(anns, "ann")) for _ in range(6)]
        others = await asyncio.gather(
            toggled(bobs, "bob"),
            cinema.call("POST", "/v1/orders", order_body("prc_stalker_buy"), customer="cid"),
            cinema.call("GET", "/v1/subscriptions"),
        )
        assert [answer.status_code for answer in others] == [200, 201, 200]
        for answer in await asyncio.gather(*blocked):  # while the lock is still kept
            assert_problem(answer, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        db.rollback()
    assert (await toggled(anns, "ann")).status_code == 200


@pytest.fixture
async def wired(database_url: str, open_cinema: OpenCinema) -> AsyncIterator[tuple[Cinema, Proxy]]:
    """A cinema whose database may fall silent."""
    with proxy_to(database_url) as wire:
        async with open_cinema(database_url=wire.url) as opened:
            yield impatient(opened), wire


async def test_while_postgresql_is_silent_every_call_is_answered(wired: tuple[Cinema, Proxy]) -> None:
    cinema, wire = wired
    # As in production; elsewhere a test waits for a connection as long as it can.
    cinema.rt._pool.timeout = CONNECTION_S
    assert (await cinema.call("POST", "/v1/orders", order_body())).status_code == 201
    wire.silent = True
    calls = [cinema.call("POST", "/v1/orders", order_body("prc_stalker_buy"), key=f"k{n}") for n in range(8)]
    calls += [cinema.call("GET", "/v1/orders") for _ in range(8)]
    for answer in await asyncio.gather(*calls):
        assert_problem(answer, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
