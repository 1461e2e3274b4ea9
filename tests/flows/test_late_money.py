"""Money is never ignored: it is delivered for while it can be, else it goes back without an operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    PLUS,
    RENTAL,
    order_status,
    payments,
    renewed,
    subscription,
    watchable,
)
from tests.kit.waiting import until


async def money_arrives(cinema: Cinema, order: dict[str, Any]) -> None:
    """The provider takes the money of a payment that was closed: what happens where links cannot be killed."""
    ref = cinema.value("SELECT provider_ref FROM payments WHERE id = %s", order["payment"]["id"])
    answer = await cinema.control(f"/control/payments/{ref}/succeed", {})
    assert answer.is_success, answer.text
    paid = "SELECT captured_minor + surplus::int FROM payments WHERE id = %s"
    await until(lambda: cinema.value(paid, order["payment"]["id"]) > 0)
    await cinema.tick()


async def test_an_order_nobody_pays_expires_after_a_day_and_its_page_is_closed(cinema: Cinema) -> None:
    order = await cinema.order(BASIC)
    await cinema.advance(timedelta(hours=23))
    await cinema.tick()
    assert order_status(cinema, order["id"]) == "pending"
    await cinema.advance(timedelta(hours=1, minutes=1))
    await cinema.event("billing.tick.reconcile")
    await until(lambda: order_status(cinema, order["id"]) == "expired")
    assert cinema.value("SELECT status FROM subscriptions") == "incomplete_expired"
    assert cinema.value("SELECT count(*) FROM outbox WHERE type = 'billing.order.expired'") == 1
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["checkout_url"] is None
    assert (await cinema.pay(order["checkout_url"])).status_code != 303
    assert (await cinema.get("/v1/subscriptions"))["items"] == []


async def test_the_money_of_an_expired_order_still_buys_the_film(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.advance(timedelta(hours=25))
    await cinema.tick()
    await until(lambda: order_status(cinema, order["id"]) == "expired")
    await money_arrives(cinema, order)
    assert order_status(cinema, order["id"]) == "paid"
    assert await watchable(cinema) == ["prd_metropolis"]


@pytest.mark.parametrize("price_id", [FILM, RENTAL, BASIC])
async def test_the_money_of_a_canceled_order_is_delivered_for(cinema: Cinema, price_id: str) -> None:
    order = await cinema.order(price_id)
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    await money_arrives(cinema, order)
    assert order_status(cinema, order["id"]) == "paid"
    assert len(await watchable(cinema)) == 1


async def test_late_money_for_what_was_bought_by_another_order_goes_back(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    await cinema.bought(FILM)
    await money_arrives(cinema, order)
    assert order_status(cinema, order["id"]) == "canceled"
    assert payments(cinema, "surplus, refunded_minor") == [(True, 1299), (False, 0)]


async def test_two_pages_for_one_film_are_one_order_and_one_payment(cinema: Cinema) -> None:
    first, second = await cinema.order(FILM), await cinema.order(FILM)
    assert second == first
    await cinema.pay(first["checkout_url"])
    await cinema.until(f"/v1/orders/{first['id']}", status="paid")
    assert (await cinema.pay(second["checkout_url"])).status_code != 303
    await cinema.tick()
    assert payments(cinema, "surplus, refunded_minor, captured_minor") == [(False, 0, 1299)]
    assert await watchable(cinema) == ["prd_metropolis"]


@pytest.mark.parametrize("price_id", [FILM, RENTAL])
async def test_late_money_for_what_another_order_waits_for_goes_back(cinema: Cinema, price_id: str) -> None:
    late = await cinema.order(price_id)
    await cinema.call("POST", f"/v1/orders/{late['id']}/cancel")
    second = await cinema.order(price_id)
    await money_arrives(cinema, late)
    assert order_status(cinema, late["id"]) == "canceled"
    await cinema.pay(second["checkout_url"])
    await cinema.until(f"/v1/orders/{second['id']}", status="paid")
    minor = second["amount"]["minor"]
    assert payments(cinema, "surplus, refunded_minor") == [(True, minor), (False, 0)]
    assert await watchable(cinema) == ["prd_metropolis"]


@pytest.mark.parametrize(("price_id", "captured_minor"), [(BASIC, 799), (PLUS, 0)])
async def test_of_two_subscriptions_begun_and_both_paid_one_goes_back(
    cinema: Cinema, price_id: str, captured_minor: int
) -> None:
    first = await cinema.order(price_id)
    await cinema.call("POST", f"/v1/orders/{first['id']}/cancel")
    second = await cinema.order(price_id)
    await cinema.pay(second["checkout_url"])
    await cinema.until(f"/v1/orders/{second['id']}", status="paid")
    await money_arrives(cinema, first)
    assert payments(cinema, "surplus, refunded_minor") == [(True, captured_minor), (False, 0)]
    assert cinema.rows("SELECT status FROM subscriptions ORDER BY id")[0] == ("incomplete_expired",)
    await subscription(cinema)  # there is exactly one
    assert (await renewed(cinema))["status"] == "active"


async def test_money_for_a_renewal_that_was_given_up_goes_back(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number="4000002500003155")
    await renewed(cinema)
    for _ in range(22):
        await cinema.advance(timedelta(days=1))
        await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    (id_,) = cinema.rows("SELECT id FROM payments ORDER BY attempt DESC, id DESC LIMIT 1")[0]
    await money_arrives(cinema, {"payment": {"id": id_}})
    assert payments(cinema, "surplus, refunded_minor")[-1] == (True, 799)
    assert (await subscription(cinema))["status"] == "canceled"


async def test_canceling_in_the_moment_of_paying_answers_with_the_paid_order(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.control("/control/webhooks", {"mode": "delay", "delay_ms": 1500})
    await cinema.pay(order["checkout_url"])
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "paid")
    again = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "order_not_cancelable")


async def test_an_order_that_was_never_sent_is_canceled_without_asking_anybody(cinema: Cinema) -> None:
    headers = {"prefer": "respond-async"}
    answer = await cinema.call(
        "POST", "/v1/orders", {"price_id": FILM, "return_url": "http://cinema.test/x"}, headers=headers
    )
    canceled = await cinema.call("POST", f"/v1/orders/{answer.json()['id']}/cancel")
    assert canceled.json()["status"] == "canceled"
    again = await cinema.call("POST", f"/v1/orders/{answer.json()['id']}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "canceled")
    await cinema.drain()
    assert payments(cinema) == ["canceled"]


async def test_canceling_while_the_provider_is_down_says_so_and_can_be_repeated(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.control("/control/down", {"down": True})
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_unresolved")
    await cinema.control("/control/down", {"down": False})
    again = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "canceled")


async def test_nobody_cancels_an_order_of_somebody_else(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel", customer="bob")
    assert answer.status_code == 404
    assert order_status(cinema, order["id"]) == "pending"
