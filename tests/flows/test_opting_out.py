"""Opting out: at once, in every state, idempotently. It never cuts paid access, and cancel wins over a charge."""

from __future__ import annotations

from datetime import timedelta

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    LATER_CHALLENGE,
    LATER_SOFT,
    bank_says,
    meanwhile,
    opened_by_a_dead_process,
    opt_out,
    order_status,
    payments,
    provider_down,
    renewed,
    subscription,
    to_period_end,
    trouble,
    watchable,
)
from tests.kit.waiting import until


async def test_opting_out_after_a_renewal_was_opened_and_before_it_is_charged_ends_without_a_charge(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await opened_by_a_dead_process(cinema)
    assert payments(cinema) == ["succeeded", "sending"]

    assert (await opt_out(cinema))["charge_in_flight"] is True  # for all we know
    await cinema.advance(timedelta(minutes=11))  # what was on its way has arrived by then
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    assert payments(cinema) == ["succeeded", "canceled"]
    assert cinema.rows("SELECT status FROM orders ORDER BY id") == [("paid",), ("canceled",)]
    assert (await cinema.books())["currencies"]["EUR"]["captured_minor"] == 799


async def test_opting_out_during_the_charge_lets_it_finish_and_returns_it_by_itself(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await trouble(cinema, "slow", "charge.create", ms=800)
    ticking = await meanwhile(cinema.tick(), lambda: payments(cinema)[-1] == "sending")

    answer = await opt_out(cinema)
    assert (answer["auto_renew"], answer["charge_in_flight"]) == (False, True)
    await ticking
    await cinema.drain()
    assert (await subscription(cinema))["status"] == "canceled"
    assert payments(cinema, "status, surplus, refunded_minor") == [
        ("succeeded", False, 0),
        ("succeeded", True, 799),
    ]
    assert await watchable(cinema) == []
    assert (await opt_out(cinema))["charge_in_flight"] is False


async def test_a_charge_in_flight_that_is_declined_after_opting_out_ends_the_subscription(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await to_period_end(cinema)
    await trouble(cinema, "slow", "charge.create", ms=800)
    ticking = await meanwhile(cinema.tick(), lambda: payments(cinema)[-1] == "sending")
    await opt_out(cinema)
    await ticking
    assert (await subscription(cinema))["status"] == "canceled"
    await cinema.advance(timedelta(days=7))
    await cinema.tick()
    assert payments(cinema) == ["succeeded", "declined"]


async def test_opting_out_while_nobody_knows_whether_it_was_charged(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await trouble(cinema, "drop_after", "charge.create")
    await cinema.event("billing.tick.renewal")
    await cinema.drain()
    assert payments(cinema)[-1] == "unknown"

    assert (await opt_out(cinema))["charge_in_flight"] is True
    await cinema.advance(timedelta(minutes=1))
    await cinema.tick()
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    assert payments(cinema, "status, surplus, refunded_minor")[-1] == ("succeeded", True, 799)


async def test_opting_back_in_renews_as_if_nothing_had_happened(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await opt_out(cinema)
    await opt_out(cinema)
    assert (await opt_out(cinema, auto_renew=True))["auto_renew"] is True
    assert (await renewed(cinema))["period"]["n"] == 2
    assert payments(cinema) == ["succeeded", "succeeded"]


async def test_opting_back_in_before_an_opened_renewal_is_charged_is_charged_once(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await opened_by_a_dead_process(cinema)
    await opt_out(cinema)
    await opt_out(cinema, auto_renew=True)
    await cinema.advance(timedelta(seconds=61))
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "active"
    assert payments(cinema) == ["succeeded", "succeeded"]


async def test_opting_out_of_a_trial_keeps_it_to_its_end_and_charges_nothing(cinema: Cinema) -> None:
    await cinema.bought("prc_plus_month")
    await opt_out(cinema)
    await cinema.advance(timedelta(days=13))
    await cinema.tick()
    assert await watchable(cinema) == ["prd_plus"]
    assert (await renewed(cinema))["status"] == "canceled"
    assert await watchable(cinema) == []
    assert payments(cinema, "captured_minor") == [0]


async def test_opting_out_in_past_due_stops_the_retries(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    assert (await renewed(cinema))["status"] == "past_due"
    answer = await opt_out(cinema)
    assert (answer["status"], answer["auto_renew"]) == ("canceled", False)
    for _ in range(8):
        await cinema.advance(timedelta(days=1))
        await cinema.tick()
    assert payments(cinema) == ["succeeded", "declined"]


async def test_opting_out_while_a_link_is_open_closes_the_link(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    assert (await renewed(cinema))["status"] == "past_due"
    link = payments(cinema, "checkout_url")[-1]
    assert (await opt_out(cinema))["status"] == "canceled"
    await cinema.tick()
    assert payments(cinema)[-1] == "canceled"
    assert (await cinema.pay(link)).status_code != 303


async def test_paying_the_link_in_the_moment_of_opting_out_is_returned(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await renewed(cinema)
    link = payments(cinema, "checkout_url")[-1]
    await opt_out(cinema)
    await cinema.pay(link)
    await until(lambda: payments(cinema)[-1] == "succeeded")
    await cinema.tick()
    assert payments(cinema, "surplus, refunded_minor")[-1] == (True, 799)
    assert await watchable(cinema) == []


async def test_opting_out_in_suspension_ends_it(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    for _ in range(8):
        await cinema.advance(timedelta(days=1))
        await cinema.tick()
    assert (await subscription(cinema))["status"] == "suspended"
    assert (await opt_out(cinema))["status"] == "canceled"


async def test_opting_out_before_the_first_payment_is_kept_when_it_is_paid(cinema: Cinema) -> None:
    order = await cinema.order(BASIC)
    assert (await opt_out(cinema))["auto_renew"] is False
    await cinema.pay(order["checkout_url"])
    await until(lambda: order_status(cinema, order["id"]) == "paid")
    found = await subscription(cinema)
    assert (found["status"], found["auto_renew"]) == ("active", False)
    assert (await renewed(cinema))["status"] == "canceled"
    assert payments(cinema) == ["succeeded"]


async def test_opting_out_of_what_never_began_or_is_over_is_answered_and_changes_nothing_else(
    cinema: Cinema,
) -> None:
    order = await cinema.order(BASIC)
    await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (await opt_out(cinema))["status"] == "incomplete_expired"
    assert (await opt_out(cinema))["auto_renew"] is False


async def test_opting_out_while_the_provider_is_down_is_answered_at_once(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await provider_down(cinema)
    await to_period_end(cinema)
    await cinema.tick()
    answer = await opt_out(cinema)
    assert answer["auto_renew"] is False
    await provider_down(cinema, down=False)
    for _ in range(3):
        await cinema.advance(timedelta(minutes=11))
        await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    assert (await cinema.books())["currencies"]["EUR"]["captured_minor"] == 799


async def test_a_customer_who_opted_out_is_not_told_of_a_renewal(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await opt_out(cinema)
    await bank_says(cinema, "do_not_honor")
    assert (await renewed(cinema))["status"] == "canceled"
    assert cinema.value("SELECT count(*) FROM notifications WHERE event_type LIKE '%%past_due'") == 0
