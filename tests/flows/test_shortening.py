"""Shortened periods: the next one begins where access ends, two refunds shorten by their sum, a title has no period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.kit.answers import assert_problem
from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_SOFT,
    RENTAL,
    operator_gives_back,
    opt_out,
    order_status,
    payments,
    period_end,
    renewed,
    subscription,
    to,
    utc,
    watchable,
)
from tests.kit.waiting import until

PRICE = 799
START = utc(2031, 4, 1, 12)
WHOLE = timedelta(days=30)


async def subscribed(cinema: Cinema, **how: Any) -> dict[str, Any]:
    await to(cinema, START)
    return await cinema.bought(BASIC, **how)


async def shorten(cinema: Cinema, order: dict[str, Any], minor: int) -> dict[str, Any]:
    answer = await operator_gives_back(cinema, order, amount_minor=minor, access="shorten")
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def access_until(cinema: Cinema) -> datetime:
    return datetime.fromisoformat((await cinema.get("/v1/entitlements"))["items"][0]["ends_at"])


def sold_until(cinema: Cinema) -> datetime:
    """The end of the period that is paid, without the grace that reading adds."""
    return cinema.value("SELECT ends_at FROM entitlements ORDER BY starts_at DESC LIMIT 1")  # type: ignore[no-any-return]


def share(minor: int) -> timedelta:
    return WHOLE * (PRICE - minor) / PRICE


async def test_the_period_after_a_shortened_one_begins_where_access_ends(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    await shorten(cinema, order, 400)
    end = await period_end(cinema)
    assert abs(end - (START + share(400))) < timedelta(minutes=1)
    assert (await opt_out(cinema, auto_renew=True))["auto_renew"]
    found = await renewed(cinema)
    assert (found["status"], found["period"]["n"]) == ("active", 2)
    begins, ends = (datetime.fromisoformat(found["period"][edge]) for edge in ("start", "end"))
    assert begins == end
    assert timedelta(days=29) < ends - begins < timedelta(days=32)  # one month on from there
    assert await watchable(cinema) == ["prd_basic"]
    windows = cinema.rows("SELECT starts_at, ends_at FROM entitlements ORDER BY starts_at")
    assert windows[0][1] == windows[1][0]
    assert (await renewed(cinema))["period"]["start"] == found["period"]["end"]


async def test_shortening_twice_shortens_by_the_sum(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    await shorten(cinema, order, 200)
    assert abs(await period_end(cinema) - (START + share(200))) < timedelta(minutes=1)
    await shorten(cinema, order, 300)
    assert abs(await period_end(cinema) - (START + share(500))) < timedelta(minutes=1)
    assert sold_until(cinema) == await period_end(cinema)


async def test_what_was_given_back_to_keep_access_does_not_shorten(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    assert (await operator_gives_back(cinema, order, amount_minor=300, access="keep")).status_code == 201
    await shorten(cinema, order, 200)
    assert abs(await period_end(cinema) - (START + share(200))) < timedelta(minutes=1)


@pytest.mark.parametrize("price_id", [FILM, RENTAL])
async def test_a_title_cannot_be_shortened(cinema: Cinema, price_id: str) -> None:
    order = await cinema.bought(price_id)
    answer = await operator_gives_back(cinema, order, amount_minor=100, access="shorten")
    assert_problem(answer, "body_invalid")
    assert cinema.value("SELECT count(*) FROM refunds") == 0


async def test_an_amount_that_leaves_nothing_ends_access_and_subscription(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    await to(cinema, START + timedelta(days=20))
    await shorten(cinema, order, 400)  # the share that stays paid is over already
    assert ((await subscription(cinema))["status"], await watchable(cinema)) == ("canceled", [])


async def test_shortened_then_given_back_whole(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    await shorten(cinema, order, 400)
    answer = await operator_gives_back(cinema, order)
    assert (answer.json()["amount"]["minor"], answer.json()["access"]) == (399, "end_now")
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("refunded", [])
    assert (await subscription(cinema))["status"] == "canceled"


@pytest.mark.parametrize("both", [False, True])
async def test_a_shortening_that_bounces_gives_its_time_back(cinema: Cinema, *, both: bool) -> None:
    order = await subscribed(cinema)
    full = await period_end(cinema)
    if both:
        await shorten(cinema, order, 200)
    refund = await shorten(cinema, order, 300)
    theirs = cinema.value("SELECT provider_ref FROM refunds WHERE id = %s", refund["id"])
    assert (await cinema.control(f"/control/refunds/{theirs}/fail", {})).is_success
    await until(lambda: cinema.value("SELECT status FROM refunds WHERE id = %s", refund["id"]) == "failed")
    wanted = START + share(200) if both else full
    assert abs(await period_end(cinema) - wanted) < timedelta(minutes=1)
    assert sold_until(cinema) == await period_end(cinema)
    if not both:
        await opt_out(cinema, auto_renew=True)
        ends = datetime.fromisoformat((await renewed(cinema))["period"]["end"])
        assert abs(ends - utc(2031, 6, 1, 12)) < timedelta(minutes=1)  # still counted from the first payment


async def test_a_shortening_that_bounces_after_the_next_period_was_sold_moves_nothing(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    refund = await shorten(cinema, order, 400)
    await opt_out(cinema, auto_renew=True)
    found = await renewed(cinema)
    theirs = cinema.value("SELECT provider_ref FROM refunds WHERE id = %s", refund["id"])
    await cinema.control(f"/control/refunds/{theirs}/fail", {})
    await until(lambda: cinema.value("SELECT status FROM refunds WHERE id = %s", refund["id"]) == "failed")
    assert (await subscription(cinema))["period"] == found["period"]
    assert order_status(cinema, order["id"]) == "paid"


async def test_a_period_that_is_over_cannot_be_shortened(cinema: Cinema) -> None:
    """Past due: the paid period has ended, only the grace goes on."""
    order = await subscribed(cinema, number=LATER_SOFT)
    assert (await renewed(cinema))["status"] == "past_due"
    answer = await operator_gives_back(cinema, order, amount_minor=100, access="shorten")
    assert_problem(answer, "body_invalid")
    assert await watchable(cinema) == ["prd_basic"]


async def test_a_shortening_that_arrives_in_the_next_period_leaves_that_alone(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    await cinema.control(
        f"/control/payments/{cinema.value('SELECT provider_ref FROM payments')}/state",
        {"card": "refund_pends", "told": False},
    )
    await cinema.control("/control/webhooks", {"mode": "hold", "types": "refund.*", "times": None})
    assert (await shorten(cinema, order, 100))["status"] == "pending"
    found = await renewed(cinema)
    await cinema.control("/control/webhooks", {"mode": None})
    await cinema.control("/control/webhooks/release", {"order": "arrival"})
    await until(lambda: cinema.value("SELECT status FROM refunds") == "succeeded")
    assert await subscription(cinema) == found
    assert len(payments(cinema)) == 2


async def test_an_hour_is_not_cut_off(cinema: Cinema) -> None:
    order = await subscribed(cinema)
    full = await period_end(cinema)
    await shorten(cinema, order, 1)
    assert await period_end(cinema) == full
