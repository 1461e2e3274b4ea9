"""A thousand due renewals and a hundred open orders with one of each poison among them: the healthy ones do not notice.

"Usual time" is counted in rounds of ticks, not in seconds: the same number of rounds must be enough with and without poison.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
import redis

from infra.servers.moto import EmbeddedMoto
from tests.concurrency.crowd import seed
from tests.concurrency.recording import NAME, Record
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.recovery import post_webhook
from tests.kit.steps import FILM, bearer, trouble
from tests.kit.waiting import until

RENEWALS: Final = 1000
ORDERS: Final = 100
ROUNDS: Final = 2  # what the healthy ones need without any poison
POLLS: Final = 100
AT_ONCE: Final = 8
LOOKED_AT_AGAIN: Final = timedelta(minutes=11)  # an open checkout whose webhook was lost

# What breaks a due subscription. `pending`: not decided now; `declined`: decided, but not paid.
BROKEN: Final = {
    "pois_zone": "time_zone = 'Mars/Olympus_Mons'",
    "pois_money": "currency = 'euro'",
    "pois_period": "interval_count = 2000000000",
    "pois_amount": "amount_minor = -799",
    "pois_instant": "period_start = '-infinity'",
    "pois_provider": "provider = 'vanished'",
    "pois_method": "provider = 'sandbox'",  # whose token the sandbox does not know: refused for good
    "pois_locked": "auto_renew = true",  # another session holds its row
}
PLANT: Final = """
    INSERT INTO payment_methods (id, customer_id, provider, provider_ref, created_at)
        SELECT 'pm_' || %(id)s, %(id)s, 'sandbox', 'token_' || %(id)s, now();
"""
PLANT_SUBSCRIPTION: Final = """
    INSERT INTO subscriptions (id, customer_id, product_id, product_title, price_id, status, amount_minor, currency,
        interval_unit, interval_count, time_zone, provider, anchor_at, period_n, period_start, period_end,
        payment_method_id, next_action_at, created_at)
    SELECT 'sub_' || %(id)s, %(id)s, product_id, product_title, price_id, status, amount_minor, currency,
        interval_unit, interval_count, time_zone, provider, anchor_at, period_n, period_start, period_end,
        'pm_' || %(id)s, next_action_at, created_at
    FROM subscriptions WHERE id = 'sub_1'
"""
# What breaks an open order's payment.
LOST: Final = {
    "lost_by_provider": "provider_ref = 'sp_lost'",
    "of_no_provider": "provider = 'vanished'",
    "of_no_money": "currency = 'euro'",
    "locked": "attempt = attempt",
}


@pytest.mark.slow
@pytest.mark.parametrize("poisoned", [False, True], ids=["healthy", "poisoned"])
async def test_what_is_healthy_is_final_within_its_usual_time(
    *, crowd: Cinema, record: Record, aws: EmbeddedMoto, webhook_secret: str, redis_url: str, poisoned: bool
) -> None:
    seed(crowd, RENEWALS)
    await crowd.control("/control/webhooks", {"mode": "drop", "times": None})
    orders = await paid_but_untold(crowd, [f"buyer-{n}" for n in range(ORDERS)])
    async with poison(crowd, aws, webhook_secret, redis_url) if poisoned else nothing():
        await crowd.advance(LOOKED_AT_AGAIN)
        for _ in range(ROUNDS):
            await round_of_ticks(crowd)
        assert renewed(crowd) == RENEWALS
        assert not_paid(crowd, orders) == []
    assert record.count("charges") == record.orders_charged() == RENEWALS
    booked = (
        "SELECT sum(amount_minor)::bigint FROM ledger_entries WHERE debit = %s AND source_kind = 'payment'"
    )
    assert crowd.value(booked, f"provider:{NAME}") == record.total_minor()
    if poisoned:
        await assert_nothing_is_lost(crowd, aws)


async def paid_but_untold(cinema: Cinema, customers: list[str]) -> list[str]:
    """Orders that were paid on the provider's page, whose webhooks never come."""

    limit = asyncio.Semaphore(AT_ONCE)

    async def one(customer: str) -> str:
        async with limit:
            order = await cinema.order(FILM, customer=customer)
            await cinema.pay(order["checkout_url"])
            return str(order["id"])

    return list(await asyncio.gather(*map(one, customers)))


async def round_of_ticks(cinema: Cinema) -> None:
    for kind in ("billing.tick.renewal", "billing.tick.reconcile"):
        # 503: all that was left to look at was locked. The next tick looks again.
        assert (await cinema.event(kind)).status_code in (200, 503)
    await cinema.drain()


def renewed(cinema: Cinema) -> int:
    """Of the healthy subscriptions."""
    return int(
        cinema.value("SELECT count(*) FROM subscriptions WHERE customer_id LIKE 'cus_%%' AND period_n = 2")
    )


def not_paid(cinema: Cinema, orders: list[str]) -> list[Any]:
    return cinema.rows("SELECT id, status FROM orders WHERE id = ANY(%s) AND status <> 'paid'", orders)


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def poison(
    cinema: Cinema, aws: EmbeddedMoto, webhook_secret: str, redis_url: str
) -> AsyncIterator[None]:
    """One of each, at work until the block ends."""
    await paid_but_untold(cinema, list(LOST))
    await trouble(cinema, "garbled", "checkout.create")
    garbled = await cinema.order(FILM, customer="garbled")
    assert garbled["payment"]["status"] == "unknown"
    break_rows(cinema)
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter("boxoffice:reply:*"):
            client.set(key, b"garbage")
    aws.reset()  # the mail service has forgotten who may send
    with psycopg.connect(cinema.database_url) as holder:
        holder.execute("SELECT FROM subscriptions WHERE id = 'sub_pois_locked' FOR UPDATE")
        holder.execute(
            "SELECT FROM payments WHERE order_id = (SELECT id FROM orders WHERE customer_id = 'locked') FOR UPDATE"
        )
        requests = asyncio.gather(
            *(one(cinema, webhook_secret) for one in (odd_requests, polls_that_hang_up))
        )
        yield
        await requests


def break_rows(cinema: Cinema) -> None:
    with cinema.db() as db:
        for id_, change in BROKEN.items():
            db.execute(PLANT, {"id": id_})
            db.execute(PLANT_SUBSCRIPTION, {"id": id_})
            db.execute(f"UPDATE subscriptions SET {change} WHERE id = 'sub_{id_}'".encode())
        for customer, change in LOST.items():
            where = f"order_id = (SELECT id FROM orders WHERE customer_id = '{customer}')"
            db.execute(f"UPDATE payments SET {change} WHERE {where}".encode())
        expire = "UPDATE orders SET expires_at = created_at WHERE customer_id = 'lost_by_provider'"
        db.execute(expire.encode())


async def odd_requests(cinema: Cinema, webhook_secret: str) -> None:
    """What can never be read, what is free, and an address that no mail reaches: each has its answer at once."""
    nul = {"customer_id": "an\0n", "product_id": "prd_metropolis", "started_at": "2026-03-15T12:00:00Z"}
    assert (await cinema.event("cinema.playback.started", nul)).status_code == 422
    webhook = {"id": "msg_nul", "body": {"type": "payment.succeeded", "data": {"id": "a\0b\ud800"}}}
    assert 400 <= (await post_webhook(cinema, webhook, webhook_secret)).status_code < 500
    with cinema.db() as db:
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
            " VALUES ('prc_free', 'prd_stalker', 'purchase', 0, 'EUR', '2000-01-01')"
        )
    assert (await cinema.order("prc_free", customer="freeloader"))["status"] == "paid"
    body = json.dumps({"price_id": FILM, "return_url": RETURN_URL}).encode()
    answer = await cinema.call(
        "POST", "/v1/orders", body, headers=bearer(cinema, customer="unreachable", email="a@[")
    )
    assert answer.status_code == 201, answer.text


async def polls_that_hang_up(cinema: Cinema, _: str) -> None:
    order_id = cinema.value("SELECT id FROM orders WHERE customer_id = 'garbled'")
    polls = [
        asyncio.ensure_future(cinema.call("GET", f"/v1/orders/{order_id}?wait=25", customer="garbled"))
        for _ in range(POLLS)
    ]
    await asyncio.sleep(0.5)
    for poll in polls:
        poll.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*polls, return_exceptions=True)


async def assert_nothing_is_lost(cinema: Cinema, aws: EmbeddedMoto) -> None:
    """Each poisoned row is either decided or set aside where doctor names it; once it is mended, it goes on."""
    aside = {row[0] for row in cinema.rows("SELECT id FROM set_aside WHERE kind = 'subscription'")}
    decided = {"sub_pois_method", "sub_pois_locked"}
    assert aside == {f"sub_{id_}" for id_ in BROKEN} - decided
    states = dict(cinema.rows("SELECT customer_id, status FROM subscriptions WHERE id LIKE 'sub_pois%%'"))
    assert states["pois_method"] == "past_due"
    aws.verify_domain("cinema.example")
    with cinema.db() as db:
        db.execute(b"UPDATE subscriptions SET time_zone = 'UTC' WHERE id = 'sub_pois_zone'")
    await cinema.advance(timedelta(hours=6))
    for _ in range(ROUNDS):
        await round_of_ticks(cinema)
    done = (
        "SELECT count(*) FROM subscriptions WHERE id IN ('sub_pois_zone', 'sub_pois_locked') AND period_n = 2"
    )
    await until(lambda: cinema.value(done) == 2)
    assert cinema.rows("SELECT status FROM orders WHERE customer_id = 'locked'") == [("paid",)]
    # The payment that carries our id at the provider is not the one we were given: its money goes back.
    await until(lambda: cinema.rows(RETURNED) == [(1299, 1299)])


RETURNED: Final = """
    SELECT sum(p.captured_minor)::int, sum(p.refunded_minor)::int FROM payments p JOIN orders o ON o.id = p.order_id
    WHERE o.customer_id = 'lost_by_provider'
"""
