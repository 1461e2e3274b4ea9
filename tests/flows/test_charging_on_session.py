"""Paying with a saved card, waiting for an order, and hearing the same answer twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_CHALLENGE,
    PLUS,
    PLUS_YEAR,
    RENTAL,
    bank_says,
    payments,
    provider_down,
    watchable,
)
from tests.kit.waiting import PATIENCE_S


async def with_saved_card(cinema: Cinema, price_id: str = FILM, **more: Any) -> httpx.Response:
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    body = {"price_id": price_id, "return_url": RETURN_URL, "payment_method_id": method["id"]}
    return await cinema.call("POST", "/v1/orders", body, **more)


async def test_a_saved_card_pays_at_once(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    answer = await with_saved_card(cinema)
    assert (answer.status_code, answer.json()["status"]) == (201, "paid")
    assert answer.json()["checkout_url"] is None
    assert sorted(await watchable(cinema)) == ["prd_basic", "prd_metropolis"]


async def test_a_declined_card_is_402_the_order_is_canceled_and_the_replay_has_the_same_bytes(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC)
    await bank_says(cinema, "insufficient_funds")
    first = await with_saved_card(cinema, key="once")
    assert (first.status_code, first.json()["code"]) == (402, "payment_declined")
    assert first.json()["decline_reason"] == "insufficient_funds"
    order = await cinema.get(first.headers["location"])
    assert (order["id"], order["status"]) == (first.json()["order_id"], "canceled")

    again = await with_saved_card(cinema, key="once")
    assert (again.status_code, again.content) == (402, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    await cinema.rt.replays.drop("whatever")
    assert (await with_saved_card(cinema, key="another")).status_code == 201
    assert payments(cinema) == ["succeeded", "declined", "succeeded"]


async def test_the_402_is_the_same_without_redis(cinema: Cinema, redis_url: str) -> None:
    await cinema.bought(BASIC)
    await bank_says(cinema, "do_not_honor")
    first = await with_saved_card(cinema, key="once")
    await _forget_what_redis_knows(redis_url)
    again = await with_saved_card(cinema, key="once")
    assert (again.status_code, again.content) == (402, first.content)
    assert len(payments(cinema)) == 2


async def _forget_what_redis_knows(redis_url: str) -> None:
    from redis.asyncio import Redis  # noqa: PLC0415

    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()


@pytest.mark.parametrize("price_id", [FILM, RENTAL, PLUS_YEAR])
async def test_a_card_that_must_be_confirmed_answers_with_a_page_for_the_same_order(
    cinema: Cinema, price_id: str
) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    answer = await with_saved_card(cinema, price_id, key="once")
    order = answer.json()
    assert (answer.status_code, order["status"], order["payment"]["status"]) == (201, "pending", "pending")
    await cinema.tick()
    assert payments(cinema) == ["succeeded", "declined", "pending"]  # and no money is taken
    assert payments(cinema, "captured_minor")[1:] == [0, 0]
    again, other = (
        await with_saved_card(cinema, price_id, key="once"),
        await with_saved_card(cinema, price_id),
    )
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    assert other.json() == order
    assert (await cinema.pay(order["checkout_url"])).status_code == 303
    await cinema.until(answer.headers["location"], status="paid")
    await cinema.tick()
    assert payments(cinema) == ["succeeded", "declined", "succeeded"]


async def test_a_page_for_a_confirmation_that_the_customer_leaves_expires_and_the_title_is_free_again(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    order = (await with_saved_card(cinema)).json()
    await cinema.advance(timedelta(hours=24, minutes=1))
    await cinema.tick()
    await cinema.until(f"/v1/orders/{order['id']}", status="expired")
    await cinema.bought(FILM)
    assert payments(cinema) == ["succeeded", "declined", "expired", "succeeded"]


async def test_a_confirmation_that_is_asked_for_later_gives_the_waiting_order_its_page(
    cinema: Cinema,
) -> None:
    """The answer of the charge is lost; the job hears that the bank wants to see the customer."""
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "charge.create"})
    answer = await with_saved_card(cinema)
    assert answer.status_code == 202
    for _ in range(3):
        await _seconds(cinema, 5)
    order = await cinema.get(answer.headers["location"])
    assert order["status"] == "pending"
    await cinema.control("/control/webhooks", {"mode": None})
    assert (await cinema.pay(order["checkout_url"])).status_code == 303
    await cinema.until(answer.headers["location"], status="paid")


async def test_a_page_that_the_provider_does_not_answer_for_is_202_and_comes_later(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "checkout.create"})
    answer = await with_saved_card(cinema)
    assert (answer.status_code, answer.json()["payment"]["status"]) == (202, "unknown")
    await _seconds(cinema, 5)
    order = await cinema.get(answer.headers["location"])
    assert (await cinema.pay(order["checkout_url"])).status_code == 303
    await cinema.until(answer.headers["location"], status="paid")
    assert len([one for one in payments(cinema) if one == "succeeded"]) == 2


async def test_a_trial_with_a_saved_card_begins_without_a_page(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    answer = await with_saved_card(cinema, PLUS)
    assert (answer.status_code, answer.json()["amount"]["minor"]) == (201, 0)
    if answer.json()["checkout_url"]:
        await cinema.pay(answer.json()["checkout_url"])
    await cinema.until(answer.headers["location"], status="paid")
    assert sorted(await watchable(cinema)) == ["prd_basic", "prd_plus"]


async def test_a_charge_without_an_answer_is_202_and_the_job_finds_it(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "charge.create"})
    answer = await with_saved_card(cinema)
    assert (answer.status_code, answer.json()["payment"]["status"]) == (202, "unknown")
    await _seconds(cinema, 3)
    assert (await cinema.get(answer.headers["location"]))["status"] == "paid"
    assert (await cinema.books())["currencies"]["EUR"]["captured_minor"] == 799 + 1299


async def test_a_charge_that_could_not_be_sent_is_202_and_sent_later(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await provider_down(cinema, how="503")
    answer = await with_saved_card(cinema)
    assert answer.status_code == 202
    await provider_down(cinema, down=False)
    await _seconds(cinema, 30)
    assert (await cinema.get(answer.headers["location"]))["status"] == "paid"


async def _seconds(cinema: Cinema, count: int) -> None:
    await cinema.advance(timedelta(seconds=count))
    await cinema.tick()


async def test_a_card_of_somebody_else_is_unknown(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    body = {"price_id": FILM, "return_url": RETURN_URL, "payment_method_id": method["id"]}
    answer = await cinema.call("POST", "/v1/orders", body, customer="bob")
    assert (answer.status_code, answer.json()["code"]) == (422, "payment_method_unknown")


async def test_a_long_poll_answers_when_the_order_is_paid(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    waiting = asyncio.ensure_future(cinema.get(f"/v1/orders/{order['id']}?wait=25"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await cinema.pay(order["checkout_url"])
    async with asyncio.timeout(24):  # the poll would end after 25 s without any news
        assert (await waiting)["status"] == "paid"


async def test_a_long_poll_ends_by_itself(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    async with asyncio.timeout(PATIENCE_S):
        assert (await cinema.get(f"/v1/orders/{order['id']}?wait=1"))["status"] == "pending"
