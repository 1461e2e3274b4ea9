"""One trial per plan for a customer, and one for a card, however many accounts it has. Of a card a keyed hash is kept."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from shared_lib.settings import MissingSecretError, settings, settings_of
from tests.kit.answers import assert_problem, contents
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, PLUS, order_status, subscription, to_period_end, watchable
from tests.kit.waiting import until

OTHER_CARD = "5555555555554444"
MANY = 50


async def tries(cinema: Cinema, customer: str, number: str = "4242424242424242") -> dict[str, Any]:
    """Order the trial, pay on the page, and wait until the order is decided."""
    order = await cinema.order(PLUS, customer=customer)
    await cinema.pay(order["checkout_url"], number)
    await until(lambda: order_status(cinema, order["id"]) != "pending")
    return await cinema.get(f"/v1/orders/{order['id']}", customer=customer)


def trials(cinema: Cinema) -> int:
    return int(cinema.value("SELECT count(*) FROM subscriptions WHERE status = 'trialing'"))


async def raw_fingerprint(cinema: Cinema) -> str:
    ref = cinema.value("SELECT provider_ref FROM payment_methods LIMIT 1")
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    answer = await cinema.http.get(f"{cinema.sandbox.url}/v1/methods/{ref}", headers=headers)
    found: str = answer.json()["fingerprint"]
    return found


async def test_the_same_card_on_a_second_account_gets_no_trial_and_says_why(cinema: Cinema) -> None:
    assert (await tries(cinema, "ann"))["status"] == "paid"
    refused = await tries(cinema, "bob")
    assert (refused["status"], refused["cancel_reason"]) == ("canceled", "trial_used")
    assert await watchable(cinema, "bob") == []
    assert (await cinema.get("/v1/subscriptions", customer="bob"))["items"] == []
    told = "SELECT data ->> 'reason' FROM outbox WHERE type = 'billing.order.canceled' AND subject = %s"
    assert cinema.value(told, refused["id"]) == "trial_used"
    assert cinema.rows("SELECT 1 FROM outbox WHERE type = 'billing.payment.surplus'") == []
    await cinema.drain()

    again = await cinema.order(PLUS, customer="bob")  # no endless loop: the regular price
    assert again["amount"]["minor"] == 1299
    await cinema.pay(again["checkout_url"])
    paid = await cinema.until(f"/v1/orders/{again['id']}", customer="bob", status="paid")
    assert paid["cancel_reason"] is None
    assert (await subscription(cinema, "bob"))["status"] == "active"


async def test_another_card_or_another_plan_is_another_trial(cinema: Cinema) -> None:
    assert (await tries(cinema, "ann"))["status"] == "paid"
    assert (await tries(cinema, "bob", OTHER_CARD))["status"] == "paid"
    await cinema.bought(BASIC, customer="carl")  # without a trial a card may be used as often as it likes
    await cinema.bought(BASIC, customer="dora")
    with cinema.db() as db:
        db.execute("INSERT INTO products (id, title, created_at) VALUES ('prd_kids', 'Kids', now())")
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count,"
            " trial_days, sellable_from) VALUES ('prc_kids', 'prd_kids', 'subscription', 500, 'EUR', 'month', 1, 7,"
            " '2020-01-01')"
        )
    await cinema.bought("prc_kids", customer="carl")
    assert trials(cinema) == 3


async def test_fifty_accounts_at_once_with_one_card_get_one_trial(cinema: Cinema) -> None:
    customers = [f"account-{n}" for n in range(MANY)]
    orders = [await cinema.order(PLUS, customer=customer) for customer in customers]
    await asyncio.gather(*(cinema.pay(order["checkout_url"]) for order in orders))
    decided = "SELECT count(*) FROM orders WHERE status <> 'pending'"
    await until(lambda: cinema.value(decided) == MANY)
    assert trials(cinema) == 1
    reasons = "SELECT status, cancel_reason, count(*)::int FROM orders GROUP BY 1, 2 ORDER BY 3"
    assert cinema.rows(reasons) == [("paid", None, 1), ("canceled", "trial_used", MANY - 1)]


async def test_a_saved_card_that_had_the_trial_is_refused_at_once(cinema: Cinema) -> None:
    await tries(cinema, "ann")
    await cinema.bought(BASIC, customer="bob")
    (method,) = (await cinema.get("/v1/payment-methods", customer="bob"))["items"]
    body = {"price_id": PLUS, "return_url": "http://cinema.test/", "payment_method_id": method["id"]}
    answer = await cinema.call("POST", "/v1/orders", body, customer="bob", key="saved")
    problem = assert_problem(answer, "trial_used")
    order = await cinema.get(f"/v1/orders/{problem['order_id']}", customer="bob")
    assert (order["status"], order["cancel_reason"]) == ("canceled", "trial_used")
    replay = await cinema.call("POST", "/v1/orders", body, customer="bob", key="saved")
    assert replay.content == answer.content
    full = await cinema.order(PLUS, customer="bob", payment_method_id=method["id"])
    assert (full["status"], full["amount"]["minor"]) == ("paid", 1299)


async def test_a_trial_with_a_saved_card_counts_for_the_card(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    assert (await cinema.order(PLUS, payment_method_id=method["id"]))["status"] == "paid"
    assert (await tries(cinema, "bob"))["cancel_reason"] == "trial_used"


async def test_two_trials_that_one_customer_opened_are_one(cinema: Cinema) -> None:
    first = await cinema.order(PLUS)
    with (
        cinema.db() as db
    ):  # as if both had been ordered before either was paid, whatever bounds that elsewhere
        db.execute("UPDATE orders SET expires_at = expires_at + interval '30 days'")
    await cinema.pay(first["checkout_url"])
    await cinema.until(f"/v1/orders/{first['id']}", status="paid")
    sub = await subscription(cinema)
    await cinema.call("PATCH", f"/v1/subscriptions/{sub['id']}", {"auto_renew": False})
    await to_period_end(cinema)
    await cinema.tick()
    again = await cinema.order(PLUS)
    assert again["amount"]["minor"] == 1299
    assert cinema.value("SELECT count(*) FROM trials WHERE identity = 'customer:ann'") == 1


async def test_money_that_does_not_start_the_trial_does_not_use_it_up(cinema: Cinema) -> None:
    order = await cinema.order(PLUS)
    with cinema.db() as db:
        db.execute("UPDATE subscriptions SET status = 'canceled'")  # it can no longer begin
    await cinema.pay(order["checkout_url"])
    await until(lambda: order_status(cinema, order["id"]) == "canceled")
    assert cinema.rows("SELECT * FROM trials") == []
    assert (await tries(cinema, "bob"))["status"] == "paid"


async def test_of_a_card_a_keyed_hash_is_kept_and_nothing_else(cinema: Cinema) -> None:
    await cinema.control("/control/webhooks", {"mode": "duplicate", "times": 2})
    await tries(cinema, "ann")
    await tries(cinema, "bob")
    raw = await raw_fingerprint(cinema)
    keys = cinema.rows("SELECT DISTINCT card_key FROM payment_methods")
    assert len(keys) == 1
    assert re.fullmatch(r"[0-9a-f]{64}", keys[0][0])
    assert raw not in keys[0][0]
    tables = cinema.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        found = cinema.rows(f"SELECT 1 FROM {table} t WHERE t::text LIKE %s", f"%{raw}%")
        assert found == [], table
    assert contents(cinema)["trials"][0] == 3  # ann, her card, bob


@pytest.mark.parametrize("process", ["create_order", "webhook", "renew", "reconcile"])
def test_production_wants_a_pepper_of_its_own(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "postgresql://db",
        "PROVIDERS": "benchmarks.instant:InstantProvider",
        "DEFAULT_PROVIDER": "benchmarks.instant:InstantProvider",
        "AUTH_JWKS_URL": "https://auth.example/keys",
    }.items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    settings.cache_clear()
    try:
        with pytest.raises(MissingSecretError, match="BOXOFFICE_CARD_PEPPER"):
            settings_of(process)
        settings.cache_clear()
        monkeypatch.setenv("BOXOFFICE_CARD_PEPPER", "x" * 32)
        assert settings_of(process).livemode
        settings.cache_clear()
        monkeypatch.delenv("BOXOFFICE_CARD_PEPPER")
        assert settings_of("relay").livemode  # it hears of no card
    finally:
        settings.cache_clear()


async def test_a_trial_that_the_card_may_not_have_costs_nothing(cinema: Cinema) -> None:
    await tries(cinema, "ann")
    await tries(cinema, "bob")
    await cinema.advance(timedelta(days=20))
    await cinema.tick()
    captured = "SELECT sum(p.captured_minor)::int FROM payments p JOIN orders o ON o.id = p.order_id WHERE customer_id = %s"
    assert cinema.value(captured, "bob") == 0
    assert cinema.value(captured, "ann") == 1299
