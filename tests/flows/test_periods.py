"""Periods are counted from the anchor on the customer's clock; the tick bills what is due, once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    PLUS,
    PLUS_YEAR,
    bank_says,
    bearer,
    bought_as,
    order_as,
    payments,
    period_end,
    renewed,
    subscription,
    to,
    utc,
    watchable,
)


async def ends(cinema: Cinema, periods: int) -> list[datetime]:
    """The ends of the next periods, each renewed by ticks just after the one before."""
    found = [await period_end(cinema)]
    for _ in range(periods - 1):
        await renewed(cinema)
        found.append(await period_end(cinema))
    return found


async def test_a_subscription_of_31_january_is_renewed_on_the_last_days_of_short_months(
    cinema: Cinema,
) -> None:
    await to(cinema, utc(2031, 1, 31, 12))
    await cinema.bought(BASIC)
    days = [(end.month, end.day) for end in await ends(cinema, 6)]
    assert days == [(2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31)]
    assert payments(cinema) == ["succeeded"] * 6


async def test_a_year_from_29_february_ends_on_the_28th_and_in_leap_years_on_the_29th(cinema: Cinema) -> None:
    await to(cinema, utc(2032, 2, 29, 12))
    await cinema.bought(PLUS_YEAR)
    days = [(end.year, end.month, end.day) for end in await ends(cinema, 4)]
    assert days == [(2033, 2, 28), (2034, 2, 28), (2035, 2, 28), (2036, 2, 29)]
    assert payments(cinema) == ["succeeded"] * 4


@pytest.mark.parametrize(
    ("zone", "starts_at", "expected"),
    [
        # 02:30 on 30 March does not exist in Berlin: it moves forward to 03:30 CEST. Then 02:30 CEST again.
        ("Europe/Berlin", utc(2031, 1, 30, 1, 30), [utc(2031, 2, 28, 1, 30), utc(2031, 3, 30, 1, 30), utc(2031, 4, 30, 0, 30)]),
        # 01:30 on 2 November comes twice in New York: the first is meant, still in summer time.
        ("America/New_York", utc(2031, 9, 2, 5, 30), [utc(2031, 10, 2, 5, 30), utc(2031, 11, 2, 5, 30), utc(2031, 12, 2, 6, 30)]),
    ],
)  # fmt: skip
async def test_periods_end_at_the_same_hour_on_the_customers_clock(
    cinema: Cinema, zone: str, starts_at: datetime, expected: list[datetime]
) -> None:
    await to(cinema, starts_at)
    await bought_as(cinema, BASIC, bearer(cinema, zoneinfo=zone))
    found = await ends(cinema, 3)
    assert [end.replace(second=0, microsecond=0) for end in found] == expected


async def test_a_trial_takes_nothing_at_its_start_and_the_price_at_its_end(cinema: Cinema) -> None:
    await cinema.bought(PLUS)
    started = await subscription(cinema)
    assert (started["status"], started["period"]["n"]) == ("trialing", 0)
    assert await watchable(cinema) == ["prd_plus"]
    trial_end = await period_end(cinema)
    assert timedelta(days=13, hours=23) < trial_end - cinema.now() <= timedelta(days=14)

    await cinema.advance(timedelta(days=13))
    await cinema.tick()
    assert cinema.value("SELECT sum(captured_minor) FROM payments") == 0

    after = await renewed(cinema)
    assert (after["status"], after["period"]["n"]) == ("active", 1)
    assert datetime.fromisoformat(after["period"]["start"]) == trial_end
    assert cinema.value("SELECT sum(captured_minor) FROM payments") == 1299


async def test_the_same_customer_is_given_no_second_trial(cinema: Cinema) -> None:
    await cinema.bought(PLUS)
    answer = await cinema.call(
        "PATCH", f"/v1/subscriptions/{(await subscription(cinema))['id']}", {"auto_renew": False}
    )
    assert answer.status_code == 200
    await renewed(cinema)
    assert await watchable(cinema) == []

    again = await cinema.bought(PLUS)
    assert again["amount"]["minor"] == 1299
    newest = (await cinema.get("/v1/subscriptions"))["items"][0]
    assert (newest["status"], newest["period"]["n"]) == ("active", 1)


async def test_a_trial_that_nobody_pays_for_asks_and_does_not_go_on_for_free(cinema: Cinema) -> None:
    await cinema.bought(PLUS)
    await bank_says(cinema, "do_not_honor")
    after = await renewed(cinema)
    assert after["status"] == "past_due"
    await cinema.advance(timedelta(days=1))
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "active"
    assert payments(cinema, "status, captured_minor") == [
        ("succeeded", 0),
        ("declined", 0),
        ("succeeded", 1299),
    ]


async def test_after_ten_months_of_silence_only_the_running_period_is_billed(cinema: Cinema) -> None:
    await to(cinema, utc(2031, 1, 31, 12))
    await cinema.bought(BASIC)
    await to(cinema, utc(2031, 12, 5))
    for _ in range(3):
        await cinema.tick()
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"]) == ("active", 11)
    assert found["period"]["start"].startswith("2031-11-30T12:00")
    assert payments(cinema) == ["succeeded"] * 2
    assert (await renewed(cinema))["period"]["n"] == 12
    assert (await period_end(cinema)).date().isoformat() == "2032-01-31"


async def test_a_renewal_costs_what_was_agreed_although_the_price_is_no_longer_sold(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    cinema.rows("UPDATE prices SET sellable_until = boxoffice_now() WHERE id = %s RETURNING id", BASIC)
    assert (await order_as(cinema, BASIC, bearer(cinema, "bob"))).status_code == 422
    assert (await renewed(cinema))["amount"] == {"minor": 799, "currency": "EUR"}
    assert payments(cinema, "amount_minor, captured_minor") == [(799, 799), (799, 799)]
