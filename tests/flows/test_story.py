"""The main job, told as a customer lives it."""

from __future__ import annotations

from datetime import timedelta

from tests.kit.cinema import Cinema


async def test_a_film_is_ordered_paid_on_the_page_and_may_be_watched(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    assert order["status"] == "pending"
    assert order["checkout_url"].startswith(cinema.sandbox.url)
    page = await cinema.pay(order["checkout_url"])
    assert page.status_code == 303
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    entitlements = (await cinema.get("/v1/entitlements"))["items"]
    assert [(e["product_id"], e["ends_at"]) for e in entitlements] == [("prd_metropolis", None)]
    await cinema.assert_balanced()


async def test_a_subscription_is_renewed_for_a_year_and_charged_once_a_month(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    for _ in range(12):
        await cinema.advance(timedelta(days=31))
        await cinema.tick()
        await cinema.tick()
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    assert subscription["status"] == "active"
    assert subscription["period"]["n"] == 13
    assert cinema.value("SELECT count(*) FROM payments WHERE status = 'succeeded'") == 13
    await cinema.assert_balanced()


async def test_a_customer_takes_a_film_back_and_loses_access(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wrong film"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "succeeded"
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "refunded"
    assert (await cinema.get("/v1/entitlements"))["items"] == []
    await cinema.assert_balanced()


async def test_opting_out_keeps_paid_access_and_ends_with_the_period(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    answer = await cinema.call("PATCH", f"/v1/subscriptions/{subscription['id']}", {"auto_renew": False})
    assert answer.status_code == 200, answer.text
    assert len((await cinema.get("/v1/entitlements"))["items"]) == 1
    await cinema.advance(timedelta(days=32))
    await cinema.tick()
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    assert subscription["status"] == "canceled"
    assert (await cinema.get("/v1/entitlements"))["items"] == []
    assert cinema.value("SELECT count(*) FROM payments") == 1
    await cinema.assert_balanced()
