"""W2: COMMIT was sent and the connection broke. Whether it counts is looked up, never guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.proxy import Proxy, proxy_to
from tests.kit.recovery import assert_charged_once, come_to_rest, leases_end, provider_payments, single

FILM = {"price_id": "prc_metropolis_buy", "return_url": RETURN_URL}
KEY = "the-one-key"
T1, T2 = b"INSERT INTO idempotency_keys", b"SET reply = "


@pytest.fixture
async def wired(database_url: str, open_cinema: OpenCinema) -> AsyncIterator[tuple[Cinema, Proxy]]:
    """A cinema whose doors reach PostgreSQL through a proxy that can lose an answer; the test itself goes around it."""
    with proxy_to(database_url) as proxy:
        # however busy the machine is
        async with open_cinema(database_url=proxy.url, provider_answer_s=20.0) as opened:
            opened.database_url = database_url
            yield opened, proxy


async def settle_all(cinema: Cinema, order_id: str) -> None:
    await come_to_rest(cinema)
    order = await cinema.get(f"/v1/orders/{order_id}")
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order_id}", status="paid")
    await come_to_rest(cinema)
    assert len(await provider_payments(cinema, order_id)) == 1
    await assert_charged_once(cinema, order_id)


async def test_w2_the_first_commit_counted_and_its_answer_was_lost(wired: tuple[Cinema, Proxy]) -> None:
    cinema, proxy = wired
    cut = proxy.cut(after=T1)
    first = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert cut.is_set()
    assert first.status_code in (201, 202, 409), first.text
    order_id = single(cinema, "SELECT id FROM orders")
    await leases_end(cinema)
    again = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert again.status_code in (201, 202), again.text
    assert again.json()["id"] == order_id
    await settle_all(cinema, order_id)


async def test_w2_the_key_of_a_lost_answer_stays_with_its_order_although_the_title_can_be_bought_again(
    wired: tuple[Cinema, Proxy],
) -> None:
    """While an order is open or paid, its title protects it; afterwards the key alone does."""
    cinema, proxy = wired
    cut = proxy.cut(after=T1)
    await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert cut.is_set()
    order_id = single(cinema, "SELECT id FROM orders")
    await settle_all(cinema, order_id)
    body = {"order_id": order_id, "reason": "the wrong film"}
    assert (await cinema.call("POST", "/v1/refunds", body)).is_success
    await cinema.until(f"/v1/orders/{order_id}", status="refunded")
    again = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert (again.json()["id"], single(cinema, "SELECT id FROM orders")) == (order_id, order_id)


async def test_w2_the_first_commit_never_arrived_and_is_made_again(wired: tuple[Cinema, Proxy]) -> None:
    cinema, proxy = wired
    cut = proxy.cut(after=T1, forward=False)
    first = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert cut.is_set()
    assert first.status_code == 201, first.text
    assert first.json()["id"] == single(cinema, "SELECT id FROM orders")
    await settle_all(cinema, first.json()["id"])


@pytest.mark.parametrize("forward", [True, False])
async def test_w2_the_commit_of_the_outcome_is_lost_or_not_and_the_answer_is_the_same(
    wired: tuple[Cinema, Proxy], forward: bool
) -> None:
    cinema, proxy = wired
    cut = proxy.cut(after=T2, forward=forward)
    first = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert cut.is_set()
    assert first.status_code == 201, first.text
    await leases_end(cinema)
    again = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    await settle_all(cinema, first.json()["id"])
