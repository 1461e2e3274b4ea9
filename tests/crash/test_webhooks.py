"""W7-W10: webhooks that come early, twice, in the wrong order, or to a process that ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kit.cinema import Cinema
from tests.kit.instance import second_instance
from tests.kit.recovery import (
    assert_charged_once,
    come_to_rest,
    deliveries,
    post_webhook,
    provider_payments,
    single,
)
from tests.kit.waiting import PATIENCE_S


async def hold(cinema: Cinema) -> None:
    """From now on webhooks stay at the provider."""
    answer = await cinema.control("/control/webhooks", {"mode": "hold", "times": None})
    assert answer.is_success, answer.text


async def let_go(cinema: Cinema, order: str = "arrival") -> int:
    """What was held is delivered; what comes next is delivered at once."""
    await cinema.control("/control/webhooks", {"mode": None})
    answer = await cinema.control("/control/webhooks/release", {"order": order})
    released: int = answer.json()["released"]
    return released


async def paid_but_untold(cinema: Cinema) -> tuple[str, dict[str, Any]]:
    """A film the provider was paid for while its webhook waits. Returns the order's id and the webhook."""
    order = await cinema.order("prc_metropolis_buy")
    await hold(cinema)
    await cinema.pay(order["checkout_url"])
    (webhook,) = [one for one in await deliveries(cinema) if one["type"] == "payment.succeeded"]
    assert single(cinema, "SELECT status FROM orders") == "pending"
    return order["id"], webhook


@pytest.mark.crash
async def test_w7_a_webhook_overtakes_the_outcome_of_a_killed_charge_and_settles_it(cinema: Cinema) -> None:
    bought = await cinema.bought("prc_metropolis_buy", customer="eve")
    method = await saved_method(cinema)
    async with second_instance(cinema, "charge:after") as doomed:
        body = {
            "price_id": "prc_stalker_buy",
            "return_url": "http://cinema.test/",
            "payment_method_id": method,
        }
        await doomed.dies_during(doomed.cinema.call("POST", "/v1/orders", body))
    order_id = single(cinema, "SELECT id FROM orders WHERE product_id = 'prd_stalker'")
    await cinema.until(f"/v1/orders/{order_id}", status="paid")
    await come_to_rest(cinema)
    assert len(await provider_payments(cinema, order_id)) == 1
    await assert_charged_once(cinema, order_id)
    await assert_charged_once(cinema, bought["id"])


async def saved_method(cinema: Cinema) -> str:
    """The card a subscription left behind."""
    await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    found: str = method["id"]
    return found


async def test_w7_a_webhook_before_our_first_commit_is_visible_is_kept_and_applied_later(
    cinema: Cinema, webhook_secret: str
) -> None:
    order_id, webhook = await paid_but_untold(cinema)
    with cinema.db() as db:  # what another process does not see yet: the same rows, not there
        db.execute("CREATE TABLE unseen_orders AS SELECT * FROM orders")
        db.execute("CREATE TABLE unseen_payments AS SELECT * FROM payments")
        db.execute("DELETE FROM payments")
        db.execute("DELETE FROM orders")
        answer = await post_webhook(cinema, webhook, webhook_secret)
        assert answer.status_code == 200, answer.text
        assert single(cinema, "SELECT status FROM inbox") == "parked"
        await cinema.tick()
        assert single(cinema, "SELECT status FROM inbox") == "parked"
        db.execute("INSERT INTO orders SELECT * FROM unseen_orders")
        db.execute("INSERT INTO payments SELECT * FROM unseen_payments")
    assert await let_go(cinema) == 1  # the provider's own delivery is a duplicate of the kept one
    assert single(cinema, "SELECT status FROM orders") == "pending"
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)


async def test_w8_the_same_webhook_again_and_again_changes_nothing_even_when_the_inbox_forgot_it(
    cinema: Cinema, webhook_secret: str
) -> None:
    order_id, webhook = await paid_but_untold(cinema)
    together = [post_webhook(cinema, webhook, webhook_secret) for _ in range(20)]
    assert {answer.status_code for answer in await asyncio.gather(*together)} == {200}
    await let_go(cinema)
    with cinema.db() as db:
        db.execute("DELETE FROM inbox")
    assert (await post_webhook(cinema, webhook, webhook_secret)).status_code == 200
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)
    granted = "SELECT count(*) FROM notifications WHERE event_type = 'billing.order.paid'"
    assert cinema.value(granted) == 1


async def test_w9_a_refund_that_is_told_of_before_its_payment_leaves_the_true_state(cinema: Cinema) -> None:
    await hold(cinema)
    order = await cinema.order("prc_metropolis_buy")
    await cinema.pay(order["checkout_url"], "4000000000007726")
    (webhook,) = [one for one in await deliveries(cinema) if one["type"] == "payment.succeeded"]
    await return_at_provider(cinema, webhook["body"]["data"]["id"], 1299)
    await the_provider_returned_it(cinema)
    assert await let_go(cinema, "reverse") >= 2
    shown = await cinema.until(
        f"/v1/orders/{order['id']}", status="refunded"
    )  # it was made by hand, and is adopted
    assert shown["payment"]["status"] == "succeeded"
    assert cinema.rows("SELECT captured_minor, refunded_minor FROM payments") == [(1299, 1299)]


async def the_provider_returned_it(cinema: Cinema) -> None:
    """Its refund takes some real milliseconds, whatever its clock says."""
    async with asyncio.timeout(PATIENCE_S):
        while not any(one["type"] == "refund.succeeded" for one in await deliveries(cinema)):
            await asyncio.sleep(0.05)
            await cinema.control("/control/clock", {"advance_s": 1})


async def return_at_provider(cinema: Cinema, payment: str, amount_minor: int) -> None:
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}", "idempotency-key": "by-hand"}
    body = {"payment": payment, "amount_minor": amount_minor}
    answer = await cinema.http.post(cinema.sandbox.url + "/v1/refunds", json=body, headers=headers)
    assert answer.is_success, answer.text


async def refund_on_its_way(cinema: Cinema) -> tuple[str, str]:
    """A refund the provider works on while its webhooks wait. Returns the order's id and the provider's own of it."""
    order = await cinema.bought("prc_metropolis_buy", number="4000000000007726")
    await hold(cinema)
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wrong film"})
    assert answer.json()["status"] == "pending", answer.text
    return order["id"], single(cinema, "SELECT provider_ref FROM refunds")


async def told_of(cinema: Cinema, refund: str, status: str, event_id: str) -> dict[str, Any]:
    """A webhook that tells of the refund in that status, as an older one may still be on its way."""
    told = next(one for one in await deliveries(cinema) if one["body"]["data"]["id"] == refund)
    return {"id": event_id, "body": {**told["body"], "data": {**told["body"]["data"], "status": status}}}


async def test_w9_an_older_pending_does_not_undo_a_refund_that_succeeded(
    cinema: Cinema, webhook_secret: str
) -> None:
    order_id, refund = await refund_on_its_way(cinema)
    await cinema.control(f"/control/refunds/{refund}/succeed", {})
    for status in ("succeeded", "pending"):
        webhook = await told_of(cinema, refund, status, f"evt_{status}")
        assert (await post_webhook(cinema, webhook, webhook_secret)).status_code == 200
        assert single(cinema, "SELECT status FROM refunds") == "succeeded"
    await let_go(cinema, "reverse")
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id, refunded_minor=1299)


async def test_w9_a_contradiction_is_believed_only_as_the_provider_tells_it_when_asked(
    cinema: Cinema, webhook_secret: str
) -> None:
    order_id, refund = await refund_on_its_way(cinema)
    await cinema.control(f"/control/refunds/{refund}/fail", {})
    for status in ("failed", "succeeded"):  # the second is a lie, though it is signed
        webhook = await told_of(cinema, refund, status, f"evt_{status}")
        assert (await post_webhook(cinema, webhook, webhook_secret)).status_code == 200
        assert single(cinema, "SELECT status FROM refunds") == "failed"
    await let_go(cinema, "reverse")
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)


@pytest.mark.crash
@pytest.mark.parametrize(
    ("window", "believed"),
    [("settle_from_webhooks:before_commit", "pending"), ("settle_from_webhooks:after_commit", "paid")],
)
async def test_w10_a_webhook_is_acknowledged_only_once_it_is_committed(
    cinema: Cinema, webhook_secret: str, window: str, believed: str
) -> None:
    order_id, webhook = await paid_but_untold(cinema)
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(post_webhook(doomed.cinema, webhook, webhook_secret))
    assert single(cinema, "SELECT status FROM orders") == believed
    assert await let_go(cinema) == 1  # not acknowledged, so the provider delivers it again
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)


async def test_w10_a_webhook_is_not_acknowledged_while_its_commit_waits(cinema: Cinema) -> None:
    order_id, _ = await paid_but_untold(cinema)
    with cinema.db() as db, db.transaction():
        db.execute("LOCK TABLE inbox")
        releasing = asyncio.create_task(let_go(cinema))
        await asyncio.sleep(0.3)
        assert "delivered" not in {
            one["state"] for one in await deliveries(cinema) if one["type"] == "payment.succeeded"
        }
    await releasing
    await come_to_rest(cinema)
    await assert_charged_once(cinema, order_id)
