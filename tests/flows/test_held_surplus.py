"""A surplus can always be returned: by Boxoffice, later each time, then by an operator; doctor shows it while it is held."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared_lib.cli.ailments import HELD_SURPLUS
from tests.kit.cinema import Cinema
from tests.kit.steps import FILM, operator_gives_back, order_status, provider_says, ref_of, trouble, twin_of
from tests.kit.waiting import until

PRICE = 1299
NUMBER, SLUG = "4000000000005126", "refund_fails_later"
WAITS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=3), timedelta(days=7))


async def bounced(cinema: Cinema, failures: int) -> None:
    """Let the return that is on its way arrive and bounce."""
    await cinema.drain()
    await cinema.advance(timedelta(minutes=1))
    failed = "SELECT count(*) FROM refunds WHERE status = 'failed'"
    await until(lambda: cinema.value(failed) == failures)


async def card_heals(cinema: Cinema, order: dict[str, Any]) -> None:
    """From now on the customer's card takes money back."""
    await provider_says(cinema, ref_of(cinema, order), card="success", told=False)


async def late_money(cinema: Cinema) -> dict[str, Any]:
    """An order that is canceled, its film bought by another one, and paid all the same with a card that takes nothing back."""
    order = await cinema.order(FILM)
    await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    await cinema.bought(FILM)
    ref = ref_of(cinema, order)
    await provider_says(cinema, ref, status="succeeded", captured_minor=PRICE, card=SLUG)
    await until(lambda: cinema.value("SELECT count(*) FROM refunds") == 1)
    return order


def held(cinema: Cinema) -> int:
    return len(cinema.rows(HELD_SURPLUS))


def refunds(cinema: Cinema) -> list[Any]:
    return cinema.rows("SELECT status, amount_minor FROM refunds ORDER BY created_at, id")


def returned(cinema: Cinema, order: dict[str, Any]) -> int:
    return int(cinema.value("SELECT refunded_minor FROM payments WHERE id = %s", order["payment"]["id"]))


async def test_a_return_that_bounces_is_sent_again_later_each_time_and_then_given_up_and_shown(
    cinema: Cinema,
) -> None:
    order = await late_money(cinema)
    await bounced(cinema, 1)
    for failures, wait in enumerate(WAITS, start=1):
        assert held(cinema) == 1
        assert refunds(cinema)[-1] == ("requested", PRICE)
        await cinema.advance(wait - timedelta(minutes=3))
        await cinema.tick()
        assert refunds(cinema)[-1] == ("requested", PRICE)  # not yet
        await cinema.advance(timedelta(minutes=4))
        await cinema.tick()
        await bounced(cinema, failures + 1)
    await cinema.advance(timedelta(days=30))
    await cinema.tick()
    assert refunds(cinema) == [("failed", PRICE)] * 6
    assert (held(cinema), returned(cinema, order)) == (1, 0)

    await card_heals(cinema, order)
    # An operator names the order alone: nothing paid for it, and one payment holds money.
    answer = await operator_gives_back(cinema, order)
    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
    assert (returned(cinema, order), order_status(cinema, order["id"])) == (PRICE, "canceled")
    assert (await operator_gives_back(cinema, order)).status_code == 409


async def test_an_operator_need_not_wait_for_the_next_try(cinema: Cinema) -> None:
    order = await late_money(cinema)
    await bounced(cinema, 1)
    assert refunds(cinema) == [("failed", PRICE), ("requested", PRICE)]
    await card_heals(cinema, order)
    too_much = await operator_gives_back(cinema, order, amount_minor=PRICE + 1)
    assert too_much.json()["code"] == "refund_too_much"
    part = await operator_gives_back(cinema, order, amount_minor=300)
    assert (part.status_code, part.json()["amount"]["minor"]) == (201, 300)
    # What that leaves is still on its way.
    open_ones = cinema.rows("SELECT amount_minor FROM refunds WHERE status = 'requested'")
    assert open_ones == [(PRICE - 300,)]
    rest = await operator_gives_back(cinema, order)
    assert rest.json()["amount"]["minor"] == PRICE - 300
    assert returned(cinema, order) == PRICE


async def test_the_second_payment_of_a_paid_order_is_named(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    twin = await twin_of(cinema, order)
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await trouble(cinema, "error_before", "refund.create", times=2)
    await provider_says(cinema, twin, status="succeeded", captured_minor=PRICE)
    await until(lambda: cinema.value("SELECT count(*) FROM refunds WHERE surplus") == 1)
    (named,) = cinema.rows("SELECT id FROM payments WHERE surplus")[0]
    answer = await operator_gives_back(cinema, order, payment_id=named)
    assert answer.status_code in (201, 202), answer.text
    for _ in range(3):
        await cinema.advance(timedelta(minutes=16))
        await cinema.tick()
    assert cinema.rows("SELECT refunded_minor FROM payments WHERE id = %s", named) == [(PRICE,)]
    assert order_status(cinema, order["id"]) == "paid"
    again = await operator_gives_back(cinema, order, payment_id=named)
    assert (again.status_code, again.json()["code"]) == (409, "refund_too_much")


@pytest.mark.parametrize("excess", [PRICE, 1])
async def test_what_a_paid_order_captured_beyond_its_price_is_returned_first(
    cinema: Cinema, excess: int
) -> None:
    order = await cinema.bought(FILM, number=NUMBER)
    await provider_says(cinema, ref_of(cinema, order), captured_minor=PRICE + excess)
    await until(lambda: cinema.value("SELECT count(*) FROM refunds WHERE surplus") == 1)
    await bounced(cinema, 1)
    assert held(cinema) == 1
    await card_heals(cinema, order)
    payment = order["payment"]["id"]
    answer = await operator_gives_back(cinema, order, payment_id=payment)
    assert (answer.json()["amount"]["minor"], answer.json()["access"]) == (excess, "keep")
    assert order_status(cinema, order["id"]) == "paid"
    whole = await operator_gives_back(cinema, order)
    assert (whole.json()["amount"]["minor"], whole.json()["access"]) == (PRICE, "end_now")
    assert returned(cinema, order) == PRICE + excess
