"""A refund made in the provider's dashboard is adopted: row, ledger, order, access, mail; and what can go wrong with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    all_settled,
    give_back,
    operator_gives_back,
    order_status,
    payments,
    provider_says,
    ref_of,
    subscription,
    trouble,
    twin_of,
    watchable,
)
from tests.kit.waiting import until

PRICE = 1299
BOUNCES, PENDS = "4000000000005126", "4000000000007726"


async def by_hand(cinema: Cinema, ref: str, minor: int | None = None) -> str:
    answer = await cinema.control("/control/refunds", {"payment": ref, "amount_minor": minor})
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def refunds(cinema: Cinema, columns: str = "status, amount_minor, access, requested_by") -> list[Any]:
    return cinema.rows(f"SELECT {columns} FROM refunds ORDER BY created_at, id")


async def until_adopted(cinema: Cinema, status: str = "succeeded", count: int = 1) -> None:
    adopted = "SELECT count(*) FROM refunds WHERE requested_by = 'provider' AND status = %s"
    await until(lambda: cinema.value(adopted, status) == count)


async def test_a_full_one_ends_access_and_the_customer_hears_of_it(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await by_hand(cinema, ref_of(cinema, order))
    await until_adopted(cinema)
    assert refunds(cinema) == [("succeeded", PRICE, "end_now", "provider")]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("refunded", [])
    await cinema.drain()
    told = (
        "SELECT count(*) FROM notifications WHERE event_type = 'billing.refund.succeeded' AND status = 'sent'"
    )
    assert cinema.value(told) == 1
    assert cinema.value("SELECT count(*) FROM inbox WHERE status <> 'done'") == 0


async def test_parts_keep_access_until_they_add_up_to_the_whole(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    ref = ref_of(cinema, order)
    await by_hand(cinema, ref, 300)
    await until_adopted(cinema)
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == (
        "partially_refunded",
        ["prd_metropolis"],
    )
    assert (await operator_gives_back(cinema, order, amount_minor=400)).status_code == 201
    await by_hand(cinema, ref)
    await until_adopted(cinema, count=2)
    assert [row[1:3] for row in refunds(cinema)] == [(300, "keep"), (400, "keep"), (599, "end_now")]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("refunded", [])


async def test_a_current_period_given_back_by_hand_ends_the_subscription(cinema: Cinema) -> None:
    order = await cinema.bought(BASIC)
    await by_hand(cinema, ref_of(cinema, order))
    await until_adopted(cinema)
    assert ((await subscription(cinema))["status"], await watchable(cinema)) == ("canceled", [])


async def test_one_that_bounces_later_gives_order_and_access_back(cinema: Cinema) -> None:
    order = await cinema.bought(FILM, number=BOUNCES)
    await by_hand(cinema, ref_of(cinema, order))
    await until_adopted(cinema)
    await cinema.advance(timedelta(days=2))
    await cinema.control("/control/clock", {"advance_s": 0})
    await until_adopted(cinema, status="failed")
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("paid", ["prd_metropolis"])
    assert payments(cinema, "refund_reserved_minor, refunded_minor") == [(0, 0)]


async def test_news_in_the_wrong_order_end_in_what_is_true(cinema: Cinema) -> None:
    """Failed is heard before succeeded."""
    order = await cinema.bought(FILM, number=BOUNCES)
    await cinema.control("/control/webhooks", {"mode": "hold", "types": "refund.*", "times": None})
    await by_hand(cinema, ref_of(cinema, order))
    await cinema.advance(timedelta(days=2))
    await cinema.control("/control/clock", {"advance_s": 0})
    await cinema.control("/control/webhooks/release", {"order": "reverse"})
    await until_adopted(cinema, status="failed")
    await until(lambda: cinema.value("SELECT count(*) FROM inbox WHERE status <> 'done'") == 0)
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("paid", ["prd_metropolis"])


async def test_the_same_news_twice_is_adopted_once(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await cinema.control("/control/webhooks", {"mode": "duplicate", "types": "refund.*", "times": None})
    await by_hand(cinema, ref_of(cinema, order), 300)
    await until_adopted(cinema)
    job = {"payment_id": order["payment"]["id"]}
    answers = await asyncio.gather(*(cinema.event("billing.job.find_refunds", job) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert refunds(cinema, "amount_minor") == [(300,)]


async def test_one_that_pends_takes_access_and_is_followed_to_its_end(cinema: Cinema) -> None:
    order = await cinema.bought(FILM, number=PENDS)
    await by_hand(cinema, ref_of(cinema, order))
    # The sandbox tells nothing of a pending refund; the next question about the payment finds it.
    await cinema.event("billing.job.find_refunds", {"payment_id": order["payment"]["id"]})
    await until_adopted(cinema, status="pending")
    await cinema.advance(timedelta(hours=1))
    await cinema.control("/control/clock", {"advance_s": 0})
    await until_adopted(cinema)
    assert order_status(cinema, order["id"]) == "refunded"


async def test_a_lost_webhook_is_made_up_for_by_the_next_look_at_the_payment(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    ref = ref_of(cinema, order)
    await cinema.control("/control/webhooks", {"mode": "drop", "types": "refund.*", "times": None})
    await by_hand(cinema, ref, 300)
    await provider_says(cinema, ref)  # told again, with `refunded_minor`
    await until(
        lambda: cinema.value("SELECT count(*) FROM outbox WHERE type = 'billing.job.find_refunds'") == 1
    )
    await cinema.drain()
    await until_adopted(cinema)
    assert order_status(cinema, order["id"]) == "partially_refunded"


async def test_money_that_was_returned_before_we_heard_of_it(cinema: Cinema) -> None:
    """Every webhook is lost; reconcile finds the payment paid and refunded."""
    order = await cinema.order(FILM)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.pay(order["checkout_url"])
    await by_hand(cinema, ref_of(cinema, order))
    await cinema.advance(timedelta(minutes=11))
    await all_settled(cinema)
    await until_adopted(cinema)
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("refunded", [])


async def test_a_refund_heard_of_before_its_payment_waits_for_nothing(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.control("/control/webhooks", {"mode": "drop", "types": "payment.*", "times": None})
    await cinema.pay(order["checkout_url"])
    await by_hand(cinema, ref_of(cinema, order), 300)
    await until_adopted(cinema)
    assert order_status(cinema, order["id"]) == "partially_refunded"


async def test_a_capture_that_grew_unheard_and_went_back_by_hand_costs_no_access(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    ref = ref_of(cinema, order)
    await provider_says(cinema, ref, captured_minor=2 * PRICE, told=False)
    await by_hand(cinema, ref, PRICE)
    await until_adopted(cinema)
    await all_settled(cinema)
    assert payments(cinema, "captured_minor, refunded_minor") == [(2 * PRICE, PRICE)]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("paid", ["prd_metropolis"])


async def test_one_that_overtakes_our_own_request_leaves_one_refund(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await trouble(cinema, "drop_before", "refund.create")
    assert (await give_back(cinema, order)).status_code == 202
    await by_hand(cinema, ref_of(cinema, order))
    for _ in range(4):
        await cinema.advance(timedelta(seconds=61))
        await cinema.tick()
    assert sorted(refunds(cinema, "status, requested_by")) == [("failed", "ann"), ("succeeded", "provider")]
    assert payments(cinema, "refund_reserved_minor, refunded_minor") == [(PRICE, PRICE)]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("refunded", [])
    assert cinema.value("SELECT count(*) FROM inbox WHERE status <> 'done'") == 0


async def test_a_surplus_returned_by_hand_is_returned_once(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    twin = await twin_of(cinema, order)
    await trouble(cinema, "drop_before", "refund.create", times=2)
    await provider_says(cinema, twin, status="succeeded", captured_minor=PRICE)
    await until(lambda: cinema.value("SELECT count(*) FROM refunds") == 1)
    await by_hand(cinema, twin, 500)
    for _ in range(6):
        await cinema.advance(timedelta(minutes=16))
        await cinema.tick()
    returned = cinema.rows("SELECT refunded_minor FROM payments WHERE provider_ref = %s", twin)
    assert returned == [(PRICE,)]
    assert order_status(cinema, order["id"]) == "pending"


@pytest.mark.parametrize("minor", [PRICE, 500])
async def test_a_refund_under_our_id_that_is_another_one_is_a_refund_of_its_own(
    cinema: Cinema, minor: int
) -> None:
    """Two refunds at the provider carry one id of ours: both took money back."""
    order = await cinema.bought(FILM)
    assert (await operator_gives_back(cinema, order, amount_minor=400, access="keep")).status_code == 201
    (ours,) = refunds(cinema, "id")[0]
    answer = await cinema.http.post(
        f"{cinema.sandbox.url}/v1/refunds",
        json={
            "payment": ref_of(cinema, order),
            "amount_minor": min(minor, PRICE - 400),
            "metadata": {"refund_id": ours},
        },
        headers={"authorization": f"Bearer {cinema.sandbox.api_key}", "idempotency-key": f"other-{minor}"},
    )
    assert answer.status_code == 201, answer.text
    await until_adopted(cinema)
    returned = 400 + min(minor, PRICE - 400)
    assert payments(cinema, "refunded_minor") == [returned]
