"""Rent, return, rent again: a customer returns each title once by themselves, and a few titles in a while."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx

from tests.kit.answers import assert_problem
from tests.kit.cinema import Cinema
from tests.kit.instance import second_instance
from tests.kit.steps import BASIC, FILM, RENTAL

OPERATOR = ("billing:operator",)


def titles(cinema: Cinema, count: int) -> list[str]:
    """Prices of so many titles."""
    with cinema.db() as db:
        for n in range(count):
            db.execute(
                "INSERT INTO products (id, title, created_at) VALUES (%s, 'A title', now())", [f"prd_{n}"]
            )
            db.execute(
                "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
                " VALUES (%s, %s, 'rental', 399, 'EUR', '2020-01-01')",
                [f"prc_{n}", f"prd_{n}"],
            )
    return [f"prc_{n}" for n in range(count)]


async def give_back(cinema: Cinema, order: dict[str, Any], **more: Any) -> httpx.Response:
    return await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish"}, **more)


async def test_a_title_is_returned_once_whether_rented_or_bought(cinema: Cinema) -> None:
    assert (await give_back(cinema, await cinema.bought(RENTAL))).status_code == 201
    again = await cinema.bought(RENTAL)
    refused = assert_problem(await give_back(cinema, again), "refund_repeated")
    assert "support" in refused["detail"]
    for_good = await cinema.bought(FILM)
    assert_problem(await give_back(cinema, for_good), "refund_repeated")
    by_support = await give_back(cinema, for_good, customer="olga", scopes=OPERATOR)
    assert by_support.status_code == 201
    assert (
        await give_back(cinema, await cinema.bought(RENTAL, customer="bob"), customer="bob")
    ).status_code == 201


async def test_three_titles_in_ninety_days_and_a_fourth_when_the_first_is_past(cinema: Cinema) -> None:
    prices = titles(cinema, 5)
    for price in prices[:3]:
        assert (await give_back(cinema, await cinema.bought(price))).status_code == 201
        await cinema.advance(timedelta(days=20))
    fourth = await cinema.bought(prices[3])
    refused = assert_problem(await give_back(cinema, fourth), "refund_limit_reached")
    assert "3 titles" in refused["detail"]
    assert "support" in refused["detail"]
    await cinema.advance(timedelta(days=31))
    fifth = await cinema.bought(prices[4])
    assert (await give_back(cinema, fifth)).status_code == 201


async def test_what_operators_give_back_and_what_bounced_is_not_counted(cinema: Cinema) -> None:
    prices = titles(cinema, 4)
    first = await cinema.bought(prices[0])
    assert (await give_back(cinema, first, customer="olga", scopes=OPERATOR)).status_code == 201
    bounces = await cinema.bought(prices[1], number="4000000000005126")
    assert (await give_back(cinema, bounces)).status_code == 201
    await cinema.advance(timedelta(days=2))
    await cinema.control("/control/clock", {"advance_s": 0})
    await cinema.until(f"/v1/orders/{bounces['id']}", status="paid")
    for price in prices[2:]:
        assert (await give_back(cinema, await cinema.bought(price))).status_code == 201
    assert (await give_back(cinema, await cinema.bought(FILM))).status_code == 201


async def test_a_subscription_is_not_a_title(cinema: Cinema) -> None:
    for price in titles(cinema, 3):
        assert (await give_back(cinema, await cinema.bought(price))).status_code == 201
    assert (await give_back(cinema, await cinema.bought(BASIC))).status_code == 201


async def test_with_one_left_two_returns_at_once_in_two_processes_are_one(cinema: Cinema) -> None:
    prices = titles(cinema, 10)
    orders = [await cinema.bought(price) for price in prices]
    for order in orders[:2]:
        assert (await give_back(cinema, order)).status_code == 201
    async with second_instance(cinema) as other:
        answers = await asyncio.gather(
            *(give_back((cinema, other.cinema)[n % 2], order) for n, order in enumerate(orders[2:]))
        )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"refund_limit_reached"}
    assert cinema.value("SELECT count(*) FROM refunds") == 3


async def test_a_customer_and_operator_in_one_counts_as_a_customer(cinema: Cinema) -> None:
    both = ("billing:customer", "billing:operator")
    assert (await give_back(cinema, await cinema.bought(RENTAL), scopes=both)).status_code == 201
    assert_problem(await give_back(cinema, await cinema.bought(RENTAL), scopes=both), "refund_repeated")


async def test_the_same_key_is_answered_again_and_not_refused(cinema: Cinema) -> None:
    order = await cinema.bought(RENTAL)
    first = await give_back(cinema, order, key="once")
    again = await give_back(cinema, order, key="once")
    assert (first.status_code, again.content) == (201, first.content)
