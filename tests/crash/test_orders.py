"""W1-W6 around an order: the process ends before, between and after its two commits, and around the relay."""

from __future__ import annotations

import pytest

from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.instance import second_instance
from tests.kit.recovery import assert_charged_once, come_to_rest, leases_end, provider_payments, single

FILM = {"price_id": "prc_metropolis_buy", "return_url": RETURN_URL}
KEY = "the-one-key"

pytestmark = pytest.mark.crash


async def pay_and_rest(cinema: Cinema, order_id: str) -> None:
    """The customer pays behind the link their order shows."""
    order = await cinema.until(f"/v1/orders/{order_id}", status="pending")
    page = await cinema.pay(order["checkout_url"])
    assert page.status_code == 303
    await cinema.until(f"/v1/orders/{order_id}", status="paid")
    await come_to_rest(cinema)


async def test_w1_killed_before_the_intent_is_committed_nothing_exists_and_the_retry_makes_one_order(
    cinema: Cinema,
) -> None:
    async with second_instance(cinema, "open_orders:before_commit") as doomed:
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", FILM, key=KEY))
    assert cinema.value("SELECT count(*) FROM orders") == 0
    await leases_end(cinema)
    answer = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert answer.status_code == 201, answer.text
    await pay_and_rest(cinema, answer.json()["id"])
    await assert_charged_once(cinema, single(cinema, "SELECT id FROM orders"))


@pytest.mark.parametrize(
    ("window", "asked_before"),
    [
        ("open_orders:after_commit", 0),  # W3
        ("create_checkout:before", 0),  # W3
        ("create_checkout:after", 1),  # W4
        ("settle_payments:before_commit", 1),  # W4
    ],
)
async def test_w3_w4_killed_around_the_provider_call_the_order_is_taken_over_under_the_same_payment(
    cinema: Cinema, window: str, asked_before: int
) -> None:
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", FILM, key=KEY))
    order_id = single(cinema, "SELECT id FROM orders")
    assert len(await provider_payments(cinema, order_id)) == asked_before
    await leases_end(cinema)
    answer = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] == order_id
    await come_to_rest(cinema)
    await pay_and_rest(cinema, order_id)
    assert len(await provider_payments(cinema, order_id)) == 1
    await assert_charged_once(cinema, order_id)


@pytest.mark.parametrize(
    ("window", "asked_before"),
    [
        ("charge:after", 0),
        ("settle_payments:before_commit", 0),
        ("settle_payments:after_commit", 0),
        ("create_checkout:before", 0),
        ("create_checkout:after", 1),
    ],
)
async def test_w3_w4_killed_between_a_charge_that_must_be_confirmed_and_its_page_the_page_comes_all_the_same(
    cinema: Cinema, window: str, asked_before: int
) -> None:
    plan = await cinema.bought("prc_basic_month", number="4000002500003155")
    await come_to_rest(cinema)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    body = FILM | {"payment_method_id": method["id"]}
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", body, key=KEY))
    order_id = single(cinema, "SELECT id FROM orders WHERE id <> %s", plan["id"])
    theirs = await provider_payments(cinema, order_id)
    assert len([one for one in theirs if one["status"] == "pending"]) == asked_before, theirs
    await leases_end(cinema)
    answer = await cinema.call("POST", "/v1/orders", body, key=KEY)
    assert (answer.status_code, answer.json()["id"]) == (202, order_id), answer.text
    await come_to_rest(cinema)
    await pay_and_rest(cinema, order_id)
    taken = [one for one in await provider_payments(cinema, order_id) if one["captured_minor"]]
    assert len(taken) == 1
    await cinema.assert_balanced()


async def test_w4_the_answer_of_an_executed_call_is_lost_and_found_again(cinema: Cinema) -> None:
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "checkout.create"})
    answer = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert answer.status_code == 202
    order_id = answer.json()["id"]
    assert single(cinema, "SELECT status FROM payments") == "unknown"
    await come_to_rest(cinema)
    await pay_and_rest(cinema, order_id)
    assert len(await provider_payments(cinema, order_id)) == 1
    await assert_charged_once(cinema, order_id)
    again = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")


async def test_w5_killed_after_the_outcome_is_committed_the_next_relay_tells_it(cinema: Cinema) -> None:
    async with second_instance(cinema, "settle_payments:after_commit") as doomed:
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", FILM, key=KEY))
    order_id = single(cinema, "SELECT id FROM orders")
    assert single(cinema, "SELECT type FROM outbox") == "billing.order.created"
    await leases_end(cinema)
    answer = await cinema.call("POST", "/v1/orders", FILM, key=KEY)
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (201, "true")
    assert answer.json()["id"] == order_id
    await pay_and_rest(cinema, order_id)
    await assert_charged_once(cinema, order_id)
    sent = "SELECT count(*) FROM notifications WHERE event_type = 'billing.order.paid' AND status = 'sent'"
    assert cinema.value(sent) == 1


async def test_w6_a_relay_killed_between_delivery_and_delete_tells_again_and_the_customer_hears_once(
    cinema: Cinema,
) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    waiting = cinema.rows("SELECT event_id FROM outbox WHERE type = 'billing.order.paid'")
    assert len(waiting) == 1
    async with second_instance(cinema, "deliver:after", relay=True) as doomed:
        await doomed.died()
    assert cinema.rows("SELECT event_id FROM outbox WHERE type = 'billing.order.paid'") == waiting
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order["id"])
    told = cinema.rows("SELECT event_id, attempts, status FROM notifications")
    assert told == [(waiting[0][0], 1, "sent")]
