"""Delivered is for exactly what was asked. Any other money is booked, alarmed and returned, by webhook, answer or reconcile."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared_lib.settings import Settings
from tests.kit.cinema import Cinema
from tests.kit.invariants import listed
from tests.kit.steps import (
    BASIC,
    FILM,
    all_settled,
    order_status,
    payments,
    provider_says,
    ref_of,
    subscription,
    to_period_end,
    trouble,
    twin_of,
    watchable,
)
from tests.kit.waiting import until
from tests.kit.webhooks import deliver, paid

SHORT, EXACT, DOUBLE = 1, 1299, 2598


async def learn(cinema: Cinema, way: str, ref: str, **state: Any) -> None:
    """The news comes by a webhook, or is lost and found by reconcile."""
    await provider_says(cinema, ref, told=way == "webhook", **state)
    if way == "reconcile":
        await cinema.advance(timedelta(minutes=11))
    await all_settled(cinema)


@pytest.mark.parametrize("way", ["webhook", "reconcile"])
@pytest.mark.parametrize(
    ("status", "captured"),
    [
        ("succeeded", SHORT),
        ("succeeded", DOUBLE),
        ("expired", EXACT),
        ("canceled", SHORT),
        ("declined", EXACT),
        ("pending", SHORT),
    ],
)
async def test_money_that_was_not_asked_for_goes_back_and_gives_nothing(
    cinema: Cinema, way: str, status: str, captured: int
) -> None:
    order = await cinema.order(FILM)
    await learn(cinema, way, ref_of(cinema, order), status=status, captured_minor=captured)
    assert payments(cinema, "status, surplus, captured_minor, refunded_minor") == [
        ("succeeded", True, captured, captured)
    ]
    assert order_status(cinema, order["id"]) == "canceled"
    assert await watchable(cinema) == []
    booked = cinema.rows("SELECT credit, amount_minor FROM ledger_entries WHERE source_kind = 'payment'")
    assert booked == [("surplus", captured)]


@pytest.mark.parametrize("way", ["webhook", "reconcile"])
async def test_another_currency_is_shown_and_returned_in_its_own(cinema: Cinema, way: str) -> None:
    order = await cinema.order(FILM)
    ref = ref_of(cinema, order)
    await learn(cinema, way, ref, status="succeeded", captured_minor=EXACT, currency="USD")
    assert payments(cinema, "surplus, captured_minor, currency, refunded_minor") == [
        (True, EXACT, "USD", EXACT)
    ]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("canceled", [])


async def test_the_right_amount_of_another_request_gives_nothing(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await learn(
        cinema,
        "webhook",
        ref_of(cinema, order),
        status="succeeded",
        captured_minor=EXACT,
        amount_minor=DOUBLE,
    )
    assert payments(cinema, "surplus, captured_minor, refunded_minor") == [(True, EXACT, EXACT)]
    assert await watchable(cinema) == []


async def test_succeeded_with_nothing_captured_is_no_money(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await provider_says(cinema, ref_of(cinema, order), status="succeeded", captured_minor=0)
    await until(lambda: cinema.value("SELECT count(*) FROM inbox WHERE status = 'parked'") == 1)
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("pending", [])
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("pending", [])
    # The provider mends its mistake: what is true then is believed.
    await provider_says(cinema, ref_of(cinema, order), captured_minor=EXACT)
    await until(lambda: order_status(cinema, order["id"]) == "paid")


async def test_a_direct_answer_that_succeeded_with_nothing_captured_is_asked_about(cinema: Cinema) -> None:
    await trouble(cinema, "tampered", "checkout.create", set={"status": "succeeded", "captured_minor": 0})
    order = await cinema.order(FILM)
    assert (order["status"], await watchable(cinema)) == ("pending", [])
    await cinema.advance(timedelta(seconds=61))
    await cinema.tick()
    shown = await cinema.get(f"/v1/orders/{order['id']}")
    assert (shown["status"], shown["payment"]["status"]) == ("pending", "pending")
    await cinema.pay(shown["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")


async def test_a_direct_answer_that_captured_something_else_is_asked_about(cinema: Cinema) -> None:
    await trouble(cinema, "tampered", "checkout.create", set={"status": "succeeded", "captured_minor": 1})
    order = await cinema.order(FILM)
    assert (order["status"], await watchable(cinema)) == ("pending", [])
    assert cinema.value("SELECT count(*) FROM ledger_entries") == 0


async def test_a_signed_webhook_alone_proves_no_odd_money(cinema: Cinema, webhook_secret: str) -> None:
    order = await cinema.order(FILM)
    ref = ref_of(cinema, order)
    odd_ones: list[dict[str, Any]] = [
        {"captured_minor": 1},
        {"captured_minor": DOUBLE},
        {"captured_minor": 0},
        {"status": "expired"},
        {"currency": "USD"},
    ]
    for number, odd in enumerate(odd_ones):
        body = json.dumps(paid(order["payment"]["id"], order["id"], id=ref, **odd)).encode()
        assert (await deliver(cinema, body, webhook_secret, id_=f"msg_odd_{number}")).status_code == 200
        assert order_status(cinema, order["id"]) == "pending"
        assert cinema.value("SELECT count(*) FROM ledger_entries") == 0
        assert (
            cinema.value("SELECT count(*) FROM inbox WHERE status <> 'done'") == 0
        )  # the provider was asked


@pytest.mark.parametrize(("first", "then"), [(SHORT, EXACT), (EXACT, DOUBLE), (DOUBLE, 3 * EXACT)])
async def test_captures_that_grow_are_booked_and_what_no_order_asked_for_goes_back(
    cinema: Cinema, first: int, then: int
) -> None:
    order = await cinema.order(FILM)
    ref = ref_of(cinema, order)
    await learn(cinema, "webhook", ref, status="succeeded", captured_minor=first)
    await learn(cinema, "webhook", ref, captured_minor=then)
    kept = EXACT if first == EXACT else 0
    assert payments(cinema, "captured_minor, refunded_minor") == [(then, then - kept)]
    assert order_status(cinema, order["id"]) == ("paid" if kept else "canceled")
    assert await watchable(cinema) == (["prd_metropolis"] if kept else [])
    legs = cinema.rows("SELECT leg FROM ledger_entries WHERE source_kind = 'payment' ORDER BY leg")
    assert legs == [("captured",), (f"captured:{then}",)]


@pytest.mark.parametrize(
    "state", [{"status": "succeeded", "captured_minor": 1}, {"status": "declined", "captured_minor": 799}]
)
async def test_a_renewal_that_took_other_money_goes_on_like_after_a_decline(
    cinema: Cinema, state: dict[str, Any]
) -> None:
    await cinema.bought(BASIC, number="4000002500003155")  # renewals are challenged: the customer gets a link
    await to_period_end(cinema)
    await cinema.tick()
    ref = str(
        cinema.value("SELECT provider_ref FROM payments WHERE status IN ('pending', 'action_required')")
    )
    await learn(cinema, "webhook", ref, **state)
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"]) == ("past_due", 1)
    returned = cinema.rows("SELECT surplus, refunded_minor FROM payments WHERE provider_ref = %s", ref)
    assert returned == [(True, state["captured_minor"])]
    # Its customer has another link, or the card is tried again: under another key in either case.
    await cinema.advance(timedelta(days=1, minutes=1))
    await cinema.tick()
    assert len(payments(cinema)) > 2


# ---- a second object of the provider under our id ------------------------------------------------------------


@pytest.mark.parametrize("captured", [EXACT, SHORT])
@pytest.mark.parametrize("ours_first", [True, False])
async def test_a_second_payment_under_our_id_is_booked_on_its_own_and_goes_back(
    cinema: Cinema, *, ours_first: bool, captured: int
) -> None:
    order = await cinema.order(FILM)
    twin = await twin_of(cinema, order)
    if ours_first:
        await cinema.pay(order["checkout_url"])
        await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await learn(cinema, "webhook", twin, status="succeeded", captured_minor=captured)
    if not ours_first:
        assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("pending", [])
        await cinema.pay(order["checkout_url"])
        await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    rows = cinema.rows("SELECT provider_ref, surplus, captured_minor, refunded_minor FROM payments")
    assert sorted(rows) == sorted(
        [(ref_of(cinema, order), False, EXACT, 0), (twin, True, captured, captured)]
    )
    assert await watchable(cinema) == ["prd_metropolis"]


@pytest.mark.parametrize("status", ["canceled", "expired", "declined", "pending"])
async def test_a_second_payment_that_came_to_nothing_does_not_touch_ours(cinema: Cinema, status: str) -> None:
    order = await cinema.order(FILM)
    twin = await twin_of(cinema, order)
    await provider_says(cinema, twin, status=status)
    await until(lambda: cinema.value("SELECT count(*) FROM inbox WHERE status = 'done'") > 0)
    assert (order_status(cinema, order["id"]), payments(cinema)) == ("pending", ["pending"])
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await provider_says(cinema, twin, status=status)
    await until(lambda: cinema.value("SELECT count(*) FROM inbox WHERE status = 'done'") > 2)
    assert payments(cinema) == ["succeeded"]


async def test_a_second_payment_that_grows_later_goes_back_whole(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    twin = await twin_of(cinema, order)
    await learn(cinema, "webhook", twin, status="succeeded", captured_minor=SHORT)
    await learn(cinema, "webhook", twin, captured_minor=EXACT)
    rows = cinema.rows("SELECT captured_minor, refunded_minor FROM payments WHERE provider_ref = %s", twin)
    assert rows == [(EXACT, EXACT)]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("pending", [])


async def test_a_search_that_finds_two_delivers_once_and_returns_the_other(cinema: Cinema) -> None:
    """The answer to our request is lost, the provider made two of it, and both are paid before we look."""
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await trouble(cinema, "drop_after", "checkout.create")
    order = await cinema.order(FILM)
    assert cinema.value("SELECT provider_ref FROM payments") is None
    (one,) = [paid["id"] for paid in await listed(cinema, "payments")]
    two = str((await cinema.control(f"/control/payments/{one}/twin", {})).json()["id"])
    for ref in (one, two):
        await provider_says(cinema, ref, status="succeeded", captured_minor=EXACT)
    await cinema.advance(timedelta(seconds=61))
    await all_settled(cinema)
    assert sorted(payments(cinema, "surplus, captured_minor, refunded_minor")) == [
        (False, EXACT, 0),
        (True, EXACT, EXACT),
    ]
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("paid", ["prd_metropolis"])


# ---- play money ----------------------------------------------------------------------------------------------


async def test_news_of_another_mode_is_parked_and_delivers_nothing(
    cinema: Cinema, webhook_secret: str
) -> None:
    order = await cinema.order(FILM)
    ref = ref_of(cinema, order)
    body = json.dumps(paid(order["payment"]["id"], order["id"], id=ref, livemode=True)).encode()
    assert (await deliver(cinema, body, webhook_secret)).status_code == 200
    assert cinema.rows("SELECT status FROM inbox") == [("parked",)]
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    assert (order_status(cinema, order["id"]), cinema.rows("SELECT status FROM inbox")) == (
        "pending",
        [("parked",)],
    )
    assert (await watchable(cinema), cinema.value("SELECT count(*) FROM ledger_entries")) == ([], 0)


@pytest.mark.parametrize("operation", ["checkout.create", "payment.get"])
async def test_an_answer_of_another_mode_is_not_believed(cinema: Cinema, operation: str) -> None:
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    if operation == "checkout.create":
        tampered = {"livemode": True, "status": "succeeded", "captured_minor": EXACT}
        await trouble(cinema, "tampered", operation, set=tampered)
    order = await cinema.order(FILM)
    if operation == "payment.get":
        await trouble(cinema, "tampered", operation, set={"livemode": True})
        await cinema.pay(order["checkout_url"])
        await cinema.advance(timedelta(minutes=11))
        await cinema.event("billing.tick.reconcile")
    assert (order_status(cinema, order["id"]), await watchable(cinema)) == ("pending", [])
    if operation == "payment.get":  # the next answer is of our mode
        await cinema.advance(timedelta(hours=1))
        await cinema.tick()
        assert order_status(cinema, order["id"]) == "paid"


def test_real_money_is_wanted_in_production_and_nowhere_else() -> None:
    asked = {"database_url": "postgresql://db", "providers": ("stripe",), "default_provider": "stripe"}
    live = Settings(environment="production", auth_jwks_url="https://auth.example/keys", **asked)  # type: ignore[arg-type]
    assert live.livemode
    assert not Settings(environment="test", **asked).livemode  # type: ignore[arg-type]
