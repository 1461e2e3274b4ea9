"""Declined renewals: retried by schedule, handed to the customer, or given up. Our trouble is never theirs."""

from __future__ import annotations

from datetime import timedelta

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    LATER_CHALLENGE,
    LATER_HARD,
    LATER_SOFT,
    bank_says,
    opened_by_a_dead_process,
    payments,
    renewed,
    subscription,
    to_period_end,
    watchable,
)
from tests.kit.waiting import until


async def day_after_day(cinema: Cinema, days: int) -> list[int]:
    """Tick twice a day for so many days; the number of payments at the end of each."""
    counts = []
    for _ in range(days):
        for _ in range(2):
            await cinema.advance(timedelta(hours=12))
            await cinema.tick()
        counts.append(len(payments(cinema)))
    return counts


def link(cinema: Cinema) -> str:
    found = payments(cinema, "checkout_url")[-1]
    assert isinstance(found, str)
    return found


async def test_a_soft_decline_is_retried_on_days_1_3_5_and_7_each_time_as_a_new_payment(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    assert (await renewed(cinema))["status"] == "past_due"
    assert await watchable(cinema) == ["prd_basic"]
    assert await day_after_day(cinema, 8) == [3, 3, 4, 4, 5, 5, 7, 7]
    assert payments(cinema, "flow, status")[1:] == [("charge", "declined")] * 5 + [("checkout", "pending")]
    assert len(set(payments(cinema, "provider_ref"))) == 7
    assert cinema.value("SELECT count(DISTINCT order_id) FROM payments") == 2


async def test_never_recovered_it_is_suspended_after_7_days_and_canceled_on_day_21(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    await day_after_day(cinema, 6)
    assert ((await subscription(cinema))["status"], await watchable(cinema)) == ("past_due", ["prd_basic"])
    await day_after_day(cinema, 1)
    assert ((await subscription(cinema))["status"], await watchable(cinema)) == ("suspended", [])
    await day_after_day(cinema, 13)
    assert (await subscription(cinema))["status"] == "suspended"
    await day_after_day(cinema, 1)
    assert (await subscription(cinema))["status"] == "canceled"
    await cinema.tick()
    assert cinema.rows("SELECT status FROM orders ORDER BY id") == [("paid",), ("canceled",)]
    assert payments(cinema)[1:6] == ["declined"] * 5
    assert set(payments(cinema)[6:]) == {"expired", "canceled"}  # the links, the last of which was closed


async def test_access_ends_with_the_grace_although_no_tick_comes(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    await cinema.advance(timedelta(days=6, hours=23))
    assert await watchable(cinema) == ["prd_basic"]
    await cinema.advance(timedelta(hours=1))
    assert await watchable(cinema) == []


async def test_the_grace_is_counted_from_the_decline_however_late_it_came(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await cinema.advance(timedelta(days=39))  # no tick for longer than a renewal may take
    assert await watchable(cinema) == []
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "past_due"
    await cinema.advance(timedelta(days=6, hours=23))
    assert await watchable(cinema) == ["prd_basic"]
    await cinema.advance(timedelta(hours=1))
    assert await watchable(cinema) == []


async def test_a_retry_on_day_3_recovers_the_same_period(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await bank_says(cinema, "do_not_honor", "insufficient_funds", None)
    end = (await renewed(cinema))["period"]["end"]
    assert await day_after_day(cinema, 4) == [3, 3, 4, 4]
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"], found["past_due_since"]) == ("active", 2, None)
    assert found["period"]["start"] == end
    assert payments(cinema) == ["succeeded", "declined", "declined", "succeeded"]
    assert (await renewed(cinema))["period"]["n"] == 3


async def test_a_suspended_subscription_is_active_again_when_the_last_retry_succeeds(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await bank_says(cinema, "do_not_honor", "do_not_honor", "do_not_honor", "do_not_honor", None)
    await renewed(cinema)
    assert await day_after_day(cinema, 7) == [3, 3, 4, 4, 5, 5, 6]
    assert (await subscription(cinema))["status"] == "active"
    assert await watchable(cinema) == ["prd_basic"]


async def test_an_outage_of_ours_skips_retries_and_never_bunches_them(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    await cinema.advance(timedelta(days=5, hours=12))
    for _ in range(4):
        await cinema.tick()
    assert len(payments(cinema)) == 3
    assert await day_after_day(cinema, 3) == [
        3,
        5,
        5,
    ]  # the last charge of the schedule, and the link that follows it


async def test_a_hard_decline_is_not_retried_and_its_card_never_charged_again(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    assert (await renewed(cinema))["status"] == "past_due"
    await day_after_day(cinema, 8)
    assert payments(cinema, "flow, status")[1:] == [
        ("charge", "declined"),
        ("checkout", "expired"),
        ("checkout", "pending"),
    ]
    assert (await subscription(cinema))["status"] == "suspended"

    method = cinema.value("SELECT id FROM payment_methods")
    assert cinema.value("SELECT usable FROM payment_methods") is False
    answer = await cinema.call(
        "POST",
        "/v1/orders",
        {
            "price_id": "prc_metropolis_buy",
            "return_url": "http://cinema.test/x",
            "payment_method_id": method,
        },
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "payment_method_unknown")


async def test_authentication_is_asked_for_by_a_link_and_paying_it_makes_it_active(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    assert (await renewed(cinema))["status"] == "past_due"
    assert payments(cinema, "flow, status") == [
        ("checkout", "succeeded"),
        ("charge", "declined"),
        ("checkout", "pending"),
    ]
    told = cinema.rows("SELECT event_type FROM notifications WHERE event_type LIKE '%%action_required'")
    assert len(told) == 1
    await cinema.pay(link(cinema))
    await until(lambda: payments(cinema)[-1] == "succeeded")
    await cinema.tick()
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"]) == ("active", 2)
    assert (await renewed(cinema))["period"]["n"] == 3  # with the card the customer has just used
    assert payments(cinema)[2:] == ["succeeded", "succeeded"]


async def test_a_link_that_expires_is_followed_by_another_and_charges_nothing(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await renewed(cinema)
    await day_after_day(cinema, 8)
    assert payments(cinema)[1:] == ["declined", "expired", "pending"]
    assert (await subscription(cinema))["status"] == "suspended"
    await day_after_day(cinema, 13)
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "canceled"
    assert payments(cinema)[2:] == ["expired", "expired", "canceled"]


async def test_a_method_the_customer_deleted_is_not_charged_the_customer_is_asked(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    await cinema.control("/control/faults", {"kind": "error_before", "operation": "method.delete"})
    assert (
        await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}?confirm=true")
    ).status_code == 204
    assert (await cinema.get("/v1/payment-methods"))["items"] == []

    assert (await renewed(cinema))["status"] == "past_due"
    await day_after_day(cinema, 2)
    assert payments(cinema, "flow, status")[1:] == [("charge", "declined"), ("checkout", "pending")]
    await cinema.pay(link(cinema))
    await until(lambda: payments(cinema)[-1] == "succeeded")
    assert (await subscription(cinema))["status"] == "active"


async def test_a_subscription_without_a_saved_method_asks_its_customer(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    cinema.rows("UPDATE subscriptions SET payment_method_id = NULL RETURNING id")
    assert (await renewed(cinema))["status"] == "past_due"
    await cinema.tick()
    assert payments(cinema, "flow, status, decline_reason")[1:] == [
        ("charge", "declined", "no_payment_method"),
        ("checkout", "pending", None),
    ]


async def test_a_method_deleted_while_its_charge_waits_is_not_charged(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    await to_period_end(cinema)
    await opened_by_a_dead_process(cinema)
    await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}?confirm=true")
    await cinema.advance(timedelta(seconds=61))
    await cinema.tick()
    assert payments(cinema, "decline_reason")[1] == "payment_method_removed"
