"""Taking away the card that a renewing subscription is charged to: said first, done when the customer confirms."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, PLUS, opt_out, subscription


async def take_away(cinema: Cinema, method_id: str, query: str = "", **more: Any) -> httpx.Response:
    return await cinema.call("DELETE", f"/v1/payment-methods/{method_id}{query}", **more)


async def card(cinema: Cinema) -> str:
    methods = (await cinema.get("/v1/payment-methods"))["items"]
    found: str = methods[-1]["id"]
    return found


@pytest.mark.parametrize("plan", [BASIC, PLUS])
async def test_it_is_refused_with_the_subscriptions_concerned_until_it_is_confirmed(
    cinema: Cinema, plan: str
) -> None:
    await cinema.bought(plan)
    method, sub = await card(cinema), await subscription(cinema)
    await cinema.drain()
    with nothing_changes(cinema):
        for query in ("", "?confirm=false"):
            problem = assert_problem(await take_away(cinema, method, query), "payment_method_in_use")
            assert problem["subscriptions"] == [
                {"id": sub["id"], "title": sub["product"]["title"], "renews_at": sub["period"]["end"]}
            ]
        for query in ("?confirm=yes", "?confirm=1", "?confirm="):
            assert_problem(await take_away(cinema, method, query), "query_invalid")
        assert_problem(await take_away(cinema, method, customer="bob"), "not_found")
        assert_problem(await take_away(cinema, method, "?confirm=true", customer="bob"), "not_found")
    for query in ("?confirm=true", "?confirm=true", ""):  # gone is gone, asked or not
        assert (await take_away(cinema, method, query)).status_code == 204
    assert (await cinema.get("/v1/payment-methods"))["items"] == []


async def test_without_a_renewal_to_come_nothing_is_asked(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await opt_out(cinema)
    assert (await take_away(cinema, await card(cinema))).status_code == 204


async def test_a_card_that_no_subscription_is_charged_to_goes_at_once(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.bought(PLUS, number="5555555555554444")
    with cinema.db() as db:
        db.execute("UPDATE subscriptions SET auto_renew = false WHERE product_id = 'prd_plus'")
    plus = cinema.value("SELECT payment_method_id FROM subscriptions WHERE product_id = 'prd_plus'")
    basic = cinema.value("SELECT payment_method_id FROM subscriptions WHERE product_id = 'prd_basic'")
    assert (await take_away(cinema, plus)).status_code == 204
    assert_problem(await take_away(cinema, basic), "payment_method_in_use")


async def test_a_card_that_its_bank_refuses_for_good_is_no_loss(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    method = await card(cinema)
    with cinema.db() as db:
        db.execute("UPDATE payment_methods SET usable = false")
    assert (await take_away(cinema, method)).status_code == 204
