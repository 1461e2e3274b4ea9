"""Refunds: what rules and operators give back, what it does to access, and what happens when it does not arrive."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    PLUS,
    RENTAL,
    give_back,
    opened_by_a_dead_process,
    operator_gives_back,
    opt_out,
    order_as,
    order_status,
    payments,
    period_end,
    renewed,
    subscription,
    to,
    trouble,
    utc,
    watchable,
)
from tests.kit.waiting import until


async def played(cinema: Cinema, product_id: str) -> None:
    started_at = cinema.now().isoformat()
    data = {"customer_id": "ann", "product_id": product_id, "started_at": started_at}
    assert (await cinema.event("cinema.playback.started", data)).status_code == 200


def returned(cinema: Cinema) -> int:
    return int(cinema.value("SELECT coalesce(sum(refunded_minor), 0) FROM payments"))


async def test_a_film_is_taken_back_within_14_days_and_not_after(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await cinema.advance(timedelta(days=13, hours=23))
    assert (await give_back(cinema, order)).status_code == 201
    assert returned(cinema) == 1299

    again = await cinema.bought(FILM)
    await cinema.advance(timedelta(days=14, minutes=1))
    late = await give_back(cinema, again)
    assert (late.status_code, late.json()["code"]) == (409, "refund_window_over")
    assert await watchable(cinema) == ["prd_metropolis"]


async def test_a_film_that_was_started_is_not_taken_back(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await played(cinema, "prd_metropolis")
    answer = await give_back(cinema, order)
    assert (answer.status_code, answer.json()["code"]) == (409, "refund_started")
    assert returned(cinema) == 0
    assert (await operator_gives_back(cinema, order)).status_code == 201  # an operator may all the same


async def test_a_rental_is_watched_within_48_hours_of_its_first_play(cinema: Cinema) -> None:
    await cinema.bought(RENTAL)
    await cinema.advance(timedelta(days=29))
    await played(cinema, "prd_metropolis")
    await cinema.advance(timedelta(hours=47))
    await played(cinema, "prd_metropolis")  # playing again changes nothing
    assert await watchable(cinema) == ["prd_metropolis"]
    await cinema.advance(timedelta(hours=1, minutes=1))
    assert await watchable(cinema) == []


async def test_a_rental_nobody_started_ends_after_30_days(cinema: Cinema) -> None:
    await cinema.bought(RENTAL)
    await cinema.advance(timedelta(days=30))
    await played(cinema, "prd_metropolis")
    assert await watchable(cinema) == []


async def test_a_subscription_is_given_back_by_the_days_that_are_left_and_ends(cinema: Cinema) -> None:
    await to(cinema, utc(2031, 4, 1, 12))
    order = await cinema.bought(BASIC)
    await to(cinema, utc(2031, 4, 11, 12))
    answer = await give_back(cinema, order)
    assert (answer.status_code, answer.json()["access"]) == (201, "end_now")
    assert abs(returned(cinema) - 799 * 20 // 30) <= 1
    assert order_status(cinema, order["id"]) == "partially_refunded"
    assert ((await subscription(cinema))["status"], await watchable(cinema)) == ("canceled", [])
    await cinema.advance(timedelta(days=31))
    await cinema.tick()
    assert payments(cinema) == ["succeeded"]


async def test_only_the_current_period_of_a_subscription_is_given_back(cinema: Cinema) -> None:
    await to(cinema, utc(2031, 4, 1, 12))
    first = await cinema.bought(BASIC)
    await renewed(cinema)
    assert (await give_back(cinema, first)).json()["code"] == "refund_window_over"
    newest = (await cinema.get("/v1/orders"))["items"][0]
    assert (await give_back(cinema, newest)).status_code == 201
    assert (await subscription(cinema))["status"] == "canceled"


async def test_a_trial_has_nothing_to_give_back(cinema: Cinema) -> None:
    order = await cinema.bought(PLUS)
    assert (await give_back(cinema, order)).json()["code"] == "refund_too_much"


@pytest.mark.parametrize("access", ["keep", "shorten", "end_now"])
async def test_an_operator_gives_part_back_and_says_what_happens_to_access(
    cinema: Cinema, access: str
) -> None:
    await to(cinema, utc(2031, 4, 1, 12))
    order = await cinema.bought(BASIC)
    answer = await operator_gives_back(cinema, order, amount_minor=400, access=access)
    assert (answer.status_code, answer.json()["access"]) == (201, access)
    assert order_status(cinema, order["id"]) == "partially_refunded"
    found = await subscription(cinema)
    match access:
        case "keep":
            assert (found["status"], found["auto_renew"]) == ("active", True)
            assert (await renewed(cinema))["period"]["n"] == 2
        case "shorten":
            end = datetime.fromisoformat((await cinema.get("/v1/entitlements"))["items"][0]["ends_at"])
            assert utc(2031, 4, 16) < end < utc(2031, 4, 17)
            assert await period_end(cinema) == end
            assert (await renewed(cinema))["status"] == "canceled"
            assert await watchable(cinema) == []
        case _:
            assert (found["status"], await watchable(cinema)) == ("canceled", [])


async def test_two_refunds_never_give_back_more_than_was_taken(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    both = await asyncio.gather(
        *(operator_gives_back(cinema, order, amount_minor=800, access="keep") for _ in range(2))
    )
    assert sorted(answer.status_code for answer in both) == [201, 409]
    assert {answer.json().get("code") for answer in both} == {None, "refund_too_much"}
    rest = await operator_gives_back(cinema, order)
    assert (rest.json()["amount"]["minor"], rest.json()["access"]) == (499, "end_now")
    assert order_status(cinema, order["id"]) == "refunded"
    assert (await operator_gives_back(cinema, order)).json()["code"] == "refund_too_much"
    assert returned(cinema) == 1299


async def test_the_same_request_twice_is_one_refund(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    body = {"order_id": order["id"], "reason": "wish"}
    first = await cinema.call("POST", "/v1/refunds", body, key="once")
    again = await cinema.call("POST", "/v1/refunds", body, key="once")
    assert (first.status_code, again.content) == (201, first.content)
    assert cinema.value("SELECT count(*) FROM refunds") == 1


async def test_a_refund_that_bounces_gives_back_reservation_order_and_access(cinema: Cinema) -> None:
    order = await cinema.bought(FILM, number="4000000000005126")
    answer = await give_back(cinema, order)
    assert answer.json()["status"] == "succeeded"
    await cinema.advance(timedelta(days=2))
    await cinema.control("/control/clock", {"advance_s": 0})
    await until(lambda: order_status(cinema, order["id"]) == "paid")
    found = await cinema.get(f"/v1/refunds/{answer.json()['id']}")
    assert (found["status"], found["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert payments(cinema, "refund_reserved_minor, refunded_minor") == [(0, 0)]
    assert await watchable(cinema) == ["prd_metropolis"]
    assert cinema.value("SELECT sum(amount_minor) FROM ledger_entries WHERE credit = 'refunds'") == 1299

    await cinema.control("/control/faults", {"kind": "error_before", "operation": "refund.create"})
    assert (await give_back(cinema, order)).status_code == 202  # it may be tried again


async def test_a_refund_that_takes_its_time_is_reserved_at_once_and_done_later(cinema: Cinema) -> None:
    order = await cinema.bought(FILM, number="4000000000007726")
    answer = await give_back(cinema, order)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert (await give_back(cinema, order)).json()["code"] == "refund_too_much"
    assert await watchable(cinema) == []  # what is being paid back is not watched meanwhile
    await cinema.advance(timedelta(days=1))
    await cinema.control("/control/clock", {"advance_s": 0})
    await until(lambda: order_status(cinema, order["id"]) == "refunded")
    assert await watchable(cinema) == []


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "error_before", "timeout_after"])
async def test_a_refund_without_an_answer_is_asked_about_and_given_once(cinema: Cinema, kind: str) -> None:
    order = await cinema.bought(FILM)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await trouble(cinema, kind, "refund.create", seconds=3.2)
    answer = await give_back(cinema, order)
    assert answer.status_code == 202
    for _ in range(3):
        await cinema.advance(timedelta(seconds=61))
        await cinema.tick()
    assert (await cinema.get(f"/v1/refunds/{answer.json()['id']}"))["status"] == "succeeded"
    assert (await cinema.books())["currencies"]["EUR"]["refunded_minor"] == 1299


async def test_nothing_is_given_back_while_nobody_knows_whether_it_was_paid(cinema: Cinema) -> None:
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await trouble(cinema, "drop_after", "checkout.create")
    order = (await order_as(cinema, FILM)).json()
    answer = await give_back(cinema, order)
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_unresolved")
    assert "retry-after" in answer.headers


async def test_returning_the_current_period_stops_a_renewal_that_is_under_way(cinema: Cinema) -> None:
    order = await cinema.bought(BASIC)
    await cinema.advance((await period_end(cinema)) - cinema.now() + timedelta(minutes=1))
    await opened_by_a_dead_process(cinema)
    assert (await operator_gives_back(cinema, order)).status_code == 201
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    assert payments(cinema) == ["succeeded", "canceled"]
    assert (await opt_out(cinema))["status"] == "canceled"
