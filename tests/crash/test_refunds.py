"""W11-W12: refunds against refunds, against a process that ends, and against a charge of unknown outcome."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.kit.cinema import Cinema
from tests.kit.instance import second_instance
from tests.kit.recovery import assert_charged_once, come_to_rest, leases_end, single

KEY = "one-refund"
OPERATOR = ("billing:operator",)


async def give_back(cinema: Cinema, order_id: str, key: str, **more: Any) -> httpx.Response:
    body = {"order_id": order_id, "reason": "the projector broke", **more}
    return await cinema.call("POST", "/v1/refunds", body, customer="olga", scopes=OPERATOR, key=key)


async def refunds_at_provider(cinema: Cinema) -> int:
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    answer = await cinema.http.get(cinema.sandbox.url + "/v1/refunds?limit=100", headers=headers)
    return len(answer.json()["data"])


@pytest.mark.crash
@pytest.mark.parametrize(
    ("window", "reserved", "asked"),
    [
        ("open_refunds:before_commit", 0, 0),
        ("open_refunds:after_commit", 1, 0),
        ("refund:after", 1, 1),
        ("settle_refunds:before_commit", 1, 1),
        ("settle_refunds:after_commit", 1, 1),
    ],
)
async def test_w11_a_killed_refund_is_finished_once_and_leaves_no_room_for_another(
    cinema: Cinema, window: str, reserved: int, asked: int
) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(give_back(doomed.cinema, order["id"], KEY))
    assert cinema.value("SELECT count(*) FROM refunds") == reserved
    assert await refunds_at_provider(cinema) == asked
    if reserved:
        assert (await give_back(cinema, order["id"], "another")).json()["code"] == "refund_too_much"
    await leases_end(cinema)
    answer = await give_back(cinema, order["id"], KEY)
    assert answer.status_code in (201, 202), answer.text
    assert answer.json()["id"] == single(cinema, "SELECT id FROM refunds")
    await come_to_rest(cinema)
    assert await refunds_at_provider(cinema) == 1
    assert cinema.rows("SELECT status FROM entitlements") == [("revoked",)]
    await assert_charged_once(cinema, order["id"], refunded_minor=1299)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error_after", "timeout_after"])
async def test_w11_the_answer_to_a_refund_is_lost_and_it_is_returned_once(cinema: Cinema, kind: str) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    fault = {"kind": kind, "operation": "refund.create", "seconds": 0.2, "kept": False}
    assert (await cinema.control("/control/faults", fault)).is_success
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    answer = await give_back(cinema, order["id"], KEY)
    assert (answer.status_code, answer.json()["status"]) == (202, "unknown"), answer.text
    await come_to_rest(cinema)
    assert await refunds_at_provider(cinema) == 1
    await assert_charged_once(cinema, order["id"], refunded_minor=1299)


@pytest.mark.crash
async def test_w12_a_refund_waits_until_a_charge_that_may_have_happened_is_known(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    body = {
        "price_id": "prc_stalker_buy",
        "return_url": "http://cinema.test/",
        "payment_method_id": method["id"],
    }
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    async with second_instance(cinema, "charge:after") as doomed:
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", body))
    order_id = single(cinema, "SELECT id FROM orders WHERE product_id = 'prd_stalker'")
    answer = await give_back(cinema, order_id, "too-early")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_unresolved"), answer.text
    assert await refunds_at_provider(cinema) == 0
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)
    assert (await give_back(cinema, order_id, "in-time")).status_code == 201
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id, refunded_minor=1499)


async def test_w12_a_refund_of_an_unknown_charge_is_refused_until_the_provider_was_asked(
    cinema: Cinema,
) -> None:
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "checkout.create"})
    order = await cinema.order("prc_metropolis_buy")
    assert single(cinema, "SELECT status FROM payments") == "unknown"
    answer = await give_back(cinema, order["id"], "too-early")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_unresolved"), answer.text
    await come_to_rest(cinema)
    shown = await cinema.get(f"/v1/orders/{order['id']}")
    await cinema.pay(shown["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    assert (await give_back(cinema, order["id"], "in-time")).status_code == 201
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order["id"], refunded_minor=1299)
