"""A row that cannot be decided is set aside, alarmed and tried again later; all others of its batch and tick go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared_lib.cli.doctor import _set_aside
from shared_lib.cli.explain import explain
from shared_lib.cli.terminal import connected
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, opened_by_a_dead_process, order_status, subscription, to_period_end
from tests.kit.waiting import until

HEALTHY = ("bob", "cid")
# A constraint that keeps most broken values out is gone, as after a restore or a hand's mistake.
UNCHECKED = "ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_known"

# What breaks the subscription of one customer, and what mends it again.
BAD_SUBSCRIPTIONS = {
    "zone": ("time_zone = 'Mars/Olympus_Mons'", "time_zone = 'UTC'"),
    "unknown status": ("status = 'asleep'", "status = 'active'"),
    "unknown unit": ("interval_unit = 'fortnight'", "interval_unit = 'month'"),
    "broken money": ("currency = 'euro'", "currency = 'EUR'"),
    "a period past the end of time": ("interval_count = 2000000000", "interval_count = 1"),
    "an instant that Python has not": ("period_start = '-infinity'", "period_start = created_at"),
    "an amount the database refuses": ("amount_minor = -799", "amount_minor = 799"),
    "a provider that is gone": ("provider = 'vanished'", "provider = 'sandbox'"),
}


def break_it(cinema: Cinema, table: str, change: str, where: str = "true", *unchecked: str) -> None:
    with cinema.db() as db:
        for column in unchecked:
            db.execute(UNCHECKED.format(table=table, column=column).encode())
        db.execute(f"UPDATE {table} SET {change} WHERE {where}".encode())


def set_aside(cinema: Cinema) -> list[tuple[str, str]]:
    return cinema.rows("SELECT kind, id FROM set_aside ORDER BY kind, id")


def renewed(cinema: Cinema) -> list[str]:
    rows = cinema.rows("SELECT customer_id FROM subscriptions WHERE period_n = 2 ORDER BY customer_id")
    return [row[0] for row in rows]


async def ticks(cinema: Cinema, minutes: int = 0) -> list[Any]:
    """What a tick alarms about, after so many minutes."""
    await cinema.advance(timedelta(minutes=minutes))
    with capture_logs() as lines:
        await cinema.tick()
    return [line for line in lines if line["event"] == "set_aside"]


async def three_subscribers(cinema: Cinema) -> str:
    for customer in ("ann", *HEALTHY):
        await cinema.bought(BASIC, customer=customer)
    found: str = cinema.value("SELECT id FROM subscriptions WHERE customer_id = 'ann'")
    return found


# ---- renewals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", BAD_SUBSCRIPTIONS)
async def test_a_subscription_that_cannot_be_decided_stops_no_other(cinema: Cinema, poison: str) -> None:
    id_ = await three_subscribers(cinema)
    await to_period_end(cinema)
    broken, mended = BAD_SUBSCRIPTIONS[poison]
    break_it(cinema, "subscriptions", broken, "customer_id = 'ann'", "status", "interval_unit")

    (alarm,) = await ticks(cinema)
    assert renewed(cinema) == ["bob", "cid"]
    assert (alarm["id"], alarm["attempts"]) == (id_, 1)
    assert set_aside(cinema) == [("subscription", id_)]
    assert await ticks(cinema) == []  # passed over until its time
    (again,) = await ticks(cinema, minutes=1)
    assert again["attempts"] == 2
    assert await ticks(cinema, minutes=4) == []  # longer each time

    break_it(cinema, "subscriptions", mended, "customer_id = 'ann'")
    assert await ticks(cinema, minutes=1) == []
    assert renewed(cinema) == ["ann", "bob", "cid"]
    assert set_aside(cinema) == []


async def test_a_period_that_the_database_refuses_stops_no_other(cinema: Cinema) -> None:
    id_ = await three_subscribers(cinema)
    await to_period_end(cinema)
    with cinema.db() as db:  # an order that overlaps the period to come, and one of its number
        db.execute(
            """
            INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status,
                amount_minor, currency, provider, return_url, created_at, expires_at, subscription_id, period_n,
                period_start, period_end, version)
            SELECT 'ord_planted', customer_id, price_id, product_id, product_title, kind, billing_reason, 'canceled',
                amount_minor, currency, provider, return_url, created_at, expires_at, subscription_id, 2,
                period_end, period_end + interval '1 day', 1
            FROM orders WHERE subscription_id = %s
            """,
            [id_],
        )
    (alarm,) = await ticks(cinema)
    assert renewed(cinema) == ["bob", "cid"]
    assert alarm["id"] == id_
    assert "orders_" in alarm["reason"]
    cinema.rows("DELETE FROM orders WHERE id = 'ord_planted' RETURNING id")
    await ticks(cinema, minutes=1)
    assert renewed(cinema) == ["ann", "bob", "cid"]


async def test_what_is_set_aside_is_seen_by_doctor_and_explain(
    cinema: Cinema, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await three_subscribers(cinema)
    await to_period_end(cinema)
    break_it(cinema, "subscriptions", "time_zone = 'Mars/Olympus_Mons'", "customer_id = 'ann'")
    await ticks(cinema)
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", cinema.database_url)
    told = explain(id_).text
    assert "SET ASIDE" in told
    assert "Mars/Olympus_Mons" in told
    with connected() as db:
        found = _set_aside(db)
    assert not found.well
    assert f"subscription {id_}: " in found.says


# ---- payments ----------------------------------------------------------------------------------------------

BAD_PAYMENTS = {  # table, what breaks it, what mends it, which check stands in the way
    "unknown flow": ("payments", "flow = 'telepathy'", "flow = 'charge'", ("flow",)),
    "broken money": ("payments", "currency = 'euro'", "currency = 'EUR'", ()),
    "an instant that Python has not": (
        "payments",
        "created_at = '-infinity'",
        "created_at = boxoffice_now()",
        (),
    ),
    "a counter that is full": ("payments", "fence = 2147483647", "fence = 1", ()),
    "its order has an unknown kind": ("orders", "kind = 'gift'", "kind = 'subscription'", ("kind",)),
    "its order's events are counted to the end": ("orders", "version = 2147483647", "version = 1", ()),
    "a provider that is gone": ("payments", "provider = 'vanished'", "provider = 'sandbox'", ()),
}


@pytest.mark.parametrize("poison", BAD_PAYMENTS)
async def test_a_charge_that_cannot_be_decided_stops_no_other(cinema: Cinema, poison: str) -> None:
    await three_subscribers(cinema)
    await to_period_end(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await opened_by_a_dead_process(cinema)
    table, broken, mended, unchecked = BAD_PAYMENTS[poison]
    cycle = "SELECT id FROM orders WHERE customer_id = 'ann' AND period_n = 2"
    of_ann = f"order_id IN ({cycle})" if table == "payments" else f"id IN ({cycle})"
    payment = cinema.value(f"SELECT id FROM payments WHERE order_id IN ({cycle})")
    break_it(cinema, table, broken, of_ann, *unchecked)
    await cinema.advance(timedelta(seconds=61))
    with capture_logs() as lines:
        await cinema.tick()
    assert renewed(cinema) == ["bob", "cid"]
    assert {line["id"] for line in lines if line["event"] == "set_aside"} == {payment}
    assert set_aside(cinema) == [("payment", payment)]

    break_it(cinema, table, mended, of_ann)
    await ticks(cinema, minutes=10)
    assert renewed(cinema) == ["ann", "bob", "cid"]
    assert set_aside(cinema) == []


async def test_money_that_cannot_be_settled_stops_no_other_and_is_settled_once_it_can(cinema: Cinema) -> None:
    """The database refuses the effect of one answer: the order already has an access row, which the test inserts."""
    orders = [(await cinema.order(FILM, customer=who)) for who in ("ann", *HEALTHY)]
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    for order in orders:
        await cinema.pay(order["checkout_url"])
    cinema.rows(
        """
        INSERT INTO entitlements (id, customer_id, product_id, order_id, kind, status, starts_at)
        SELECT 'ent_planted', customer_id, product_id, id, 'purchase', 'revoked', created_at FROM orders WHERE id = %s
        RETURNING id
        """,
        orders[0]["id"],
    )
    (alarm,) = await ticks(cinema, minutes=15)
    assert [order_status(cinema, order["id"]) for order in orders] == ["pending", "paid", "paid"]
    assert alarm["kind"] == "payment"
    assert "entitlements_one_per_order" in alarm["reason"]
    cinema.rows("DELETE FROM entitlements WHERE id = 'ent_planted' RETURNING id")
    assert await ticks(cinema, minutes=1) == []
    assert order_status(cinema, orders[0]["id"]) == "paid"
    assert set_aside(cinema) == []


# ---- refunds -----------------------------------------------------------------------------------------------

BAD_REFUNDS = {
    "unknown access": ("refunds", "access = 'perhaps'", "access = 'end_now'", ("access",)),
    "broken money": ("refunds", "currency = 'euro'", "currency = 'EUR'", ()),
    "a counter that is full": ("refunds", "fence = 2147483647", "fence = 1", ()),
    "a counter that is full when its answer is settled": ("refunds", "checks = 2147483647", "checks = 1", ()),
    "its payment was never seen by the provider": (
        "payments",
        "provider_ref = NULL",
        "provider_ref = '{ref}'",
        (),
    ),
    "a provider that is gone": ("payments", "provider = 'vanished'", "provider = 'sandbox'", ()),
}


@pytest.mark.parametrize("poison", BAD_REFUNDS)
async def test_a_refund_that_cannot_be_decided_stops_no_other(cinema: Cinema, poison: str) -> None:
    orders = [(await cinema.bought(FILM, customer=who)) for who in ("ann", *HEALTHY)]
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.control("/control/down", {"down": True, "how": "503"})
    for order, who in zip(orders, ("ann", *HEALTHY), strict=True):
        body = {"order_id": order["id"], "reason": "no"}
        assert (await cinema.call("POST", "/v1/refunds", body, customer=who)).status_code == 202
    table, broken, mended, unchecked = BAD_REFUNDS[poison]
    of_ann = f"order_id = '{orders[0]['id']}'"
    (refund,) = (row[0] for row in cinema.rows(f"SELECT id FROM refunds WHERE {of_ann}"))
    (ref,) = (row[0] for row in cinema.rows(f"SELECT provider_ref FROM payments WHERE {of_ann}"))
    break_it(cinema, table, broken, of_ann, *unchecked)
    await cinema.control("/control/down", {"down": False})
    alarms = await ticks(cinema, minutes=2)
    found = dict(cinema.rows("SELECT order_id, status FROM refunds"))
    assert [found[order["id"]] for order in orders[1:]] == ["succeeded", "succeeded"]
    assert [(line["kind"], line["id"]) for line in alarms] == [("refund", refund)]
    assert set_aside(cinema) == [("refund", refund)]

    break_it(cinema, table, mended.format(ref=ref), of_ann)
    await ticks(cinema, minutes=10)
    assert cinema.value("SELECT status FROM refunds WHERE id = %s", refund) == "succeeded"
    assert set_aside(cinema) == []


# ---- webhooks ----------------------------------------------------------------------------------------------


async def test_a_webhook_that_cannot_be_settled_is_kept_and_applied_when_it_can(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    break_it(cinema, "orders", "version = 2147483647", f"id = '{order['id']}'")
    with capture_logs() as lines:
        await cinema.pay(order["checkout_url"])
        await until(lambda: any(line["event"] == "set_aside" for line in lines))  # written after the row
    assert set_aside(cinema) != []
    assert {line["kind"] for line in lines if line["event"] == "set_aside"} == {"message"}
    assert order_status(cinema, order["id"]) == "pending"
    break_it(cinema, "orders", "version = 1", f"id = '{order['id']}'")
    await ticks(cinema, minutes=2)
    assert order_status(cinema, order["id"]) == "paid"
    assert set_aside(cinema) == []


@pytest.mark.parametrize(
    ("source", "payload"),
    [("sandbox", '{"neither": "nor"}'), ("sandbox", "[]"), ("sandbox", None), ("vanished", '{"a": 1}')],
)
async def test_a_parked_webhook_that_cannot_be_read_stops_no_other_and_no_stage(
    cinema: Cinema, source: str, payload: str | None
) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO inbox (source, event_id, status, payload, received_at, next_try_at)"
            " VALUES (%s, 'evt_bad', 'parked', %s, boxoffice_now(), boxoffice_now() - interval '1 hour')",
            [source, payload],
        )
    order = await cinema.order(FILM)
    id_ = cinema.value("SELECT id FROM payments")
    with cinema.db() as db:  # its webhook arrives before our first commit is visible
        db.execute("UPDATE payments SET id = 'pay_hidden', provider_ref = NULL WHERE id = %s", [id_])
    await cinema.pay(order["checkout_url"])
    parked = "SELECT count(*) FROM inbox WHERE status = 'parked'"
    await until(lambda: cinema.value(parked) == 2)
    with cinema.db() as db:
        db.execute("UPDATE payments SET id = %s WHERE id = 'pay_hidden'", [id_])
    (alarm,) = await ticks(cinema, minutes=1)
    assert alarm["id"] == f"{source}/evt_bad"
    assert order_status(cinema, order["id"]) == "paid"
    assert cinema.value(parked) == 1
    assert await ticks(cinema) == []


# ---- stages and housekeeping -------------------------------------------------------------------------------


async def test_a_stage_that_fails_stops_no_other_stage(cinema: Cinema) -> None:
    """Neither the stages before it nor those after it."""
    order = await cinema.order(FILM)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.pay(order["checkout_url"])
    await cinema.advance(timedelta(minutes=15))
    with cinema.db() as db:
        db.execute(
            "INSERT INTO idempotency_keys (customer_id, route, key, fingerprint, locked_until, expires_at)"
            " VALUES ('bob', 'POST /v1/orders', 'old', '', boxoffice_now(), boxoffice_now())"
        )
        db.execute("ALTER TABLE inbox RENAME COLUMN next_try_at TO gone")
    with capture_logs() as lines:
        await cinema.tick()
    assert [line["stage"] for line in lines if line["event"] == "stage_failed"] == ["webhooks", "plays"]
    assert order_status(cinema, order["id"]) == "paid"
    assert cinema.rows("SELECT key FROM idempotency_keys WHERE customer_id = 'bob'") == []
    with cinema.db() as db:
        db.execute("ALTER TABLE inbox RENAME COLUMN gone TO next_try_at")


async def test_a_key_that_cannot_be_forgotten_stops_no_other(cinema: Cinema) -> None:
    for who in ("ann", *HEALTHY):
        await cinema.order(FILM, customer=who)
    with cinema.db() as db:
        db.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        db.execute(
            "CREATE TRIGGER refused BEFORE DELETE ON idempotency_keys FOR EACH ROW"
            " WHEN (OLD.customer_id = 'ann') EXECUTE FUNCTION refuse()"
        )
    await cinema.advance(timedelta(hours=73))
    await cinema.tick()
    assert cinema.rows("SELECT customer_id FROM idempotency_keys") == [("ann",)]


async def test_a_bug_met_while_one_provider_call_is_made_stops_no_other(cinema: Cinema) -> None:
    """An answer that our client cannot digest, whatever the reason, is no answer."""
    await three_subscribers(cinema)
    await to_period_end(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    charge, seen = cinema.rt.providers["sandbox"].charge, []

    async def charge_with_a_bug(request: Any) -> Any:
        seen.append(request)
        if len(seen) == 1:
            raise KeyError("a bug")
        return await charge(request)

    cinema.rt.providers["sandbox"].charge = charge_with_a_bug  # type: ignore[method-assign,assignment]
    assert (await cinema.event("billing.tick.renewal")).is_success
    assert len(renewed(cinema)) == 2
    await ticks(cinema, minutes=1)
    assert len(renewed(cinema)) == 3
    assert (await subscription(cinema))["period"]["n"] == 2
