"""What happens after a crash without any operator, and what must be true then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import redis

from infra.sandbox.faces.native.events import sign
from tests.kit.cinema import Cinema

# Past every lease: of a payment, of a notification, of an Idempotency-Key.
PAST_LEASES = timedelta(seconds=61)
ROUNDS_MAX = 40

_OPEN = """
    SELECT 'outbox ' || type FROM outbox
    UNION ALL SELECT 'payment ' || status FROM payments WHERE status IN ('created', 'sending', 'unknown')
    UNION ALL SELECT 'refund ' || status FROM refunds WHERE status IN ('requested', 'sending', 'unknown', 'pending')
    UNION ALL SELECT 'webhook ' || status FROM inbox WHERE status <> 'done'
"""


async def leases_end(cinema: Cinema) -> None:
    """Every lease of a dead process ends. Redis has a clock of its own: its marks go, as they do after 30 s."""
    await cinema.advance(PAST_LEASES)
    if cinema.rt.settings.redis_url:
        with redis.Redis.from_url(cinema.rt.settings.redis_url) as client:
            client.flushdb()


async def come_to_rest(cinema: Cinema, *, rounds: int = ROUNDS_MAX) -> None:
    """Ticks, relay and webhook deliveries, until nothing is open any more."""
    for _ in range(rounds):
        await leases_end(cinema)
        await cinema.tick()
        if not (await undelivered(cinema) or what_is_open(cinema)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not at rest: {what_is_open(cinema)}, {await undelivered(cinema)}")


def what_is_open(cinema: Cinema) -> list[str]:
    return [row[0] for row in cinema.rows(_OPEN)]


async def deliveries(cinema: Cinema) -> list[dict[str, Any]]:
    """The provider's webhooks, the newest first."""
    answer = await cinema.http.get(cinema.sandbox.url + "/control/webhooks")
    found: list[dict[str, Any]] = answer.json()["deliveries"]
    return found


async def undelivered(cinema: Cinema) -> list[str]:
    return [one["type"] for one in await deliveries(cinema) if one["state"] == "waiting"]


async def post_webhook(cinema: Cinema, delivery: Mapping[str, Any], secret: str) -> httpx.Response:
    """Deliver one of the provider's webhooks by hand, signed as the provider signs."""
    body = json.dumps(delivery["body"], separators=(",", ":")).encode()
    timestamp_s = int(cinema.now().timestamp())
    headers = {
        "webhook-id": str(delivery["id"]),
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(secret, str(delivery["id"]), timestamp_s, body),
    }
    return await cinema.http.post(cinema.url + "/v1/webhooks/sandbox", content=body, headers=headers)


async def provider_payments(cinema: Cinema, order_id: str | None = None) -> list[dict[str, Any]]:
    """What the provider has of an order, or of all."""
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    answer = await cinema.http.get(cinema.sandbox.url + "/v1/payments?limit=100", headers=headers)
    found: list[dict[str, Any]] = answer.json()["data"]
    return [one for one in found if order_id is None or one["metadata"]["order_id"] == order_id]


async def assert_charged_once(cinema: Cinema, order_id: str, *, refunded_minor: int = 0) -> None:
    """One capture of the order's amount at the provider, the same in our ledger, one entitlement, nothing open."""
    assert what_is_open(cinema) == []
    amount_minor, status = cinema.rows("SELECT amount_minor, status FROM orders WHERE id = %s", order_id)[0]
    theirs = (await cinema.books())["orders"][order_id]
    assert theirs["payments"] == 1
    assert theirs["captured_minor"] == amount_minor
    assert theirs["refunded_minor"] == refunded_minor
    entered = cinema.rows(
        "SELECT source_kind, amount_minor FROM ledger_entries WHERE order_id = %s ORDER BY 1", order_id
    )
    returned = [("refund", refunded_minor)] if refunded_minor else []
    assert entered == [("payment", amount_minor), *returned]
    if not refunded_minor:
        assert status == "paid"
        given = "SELECT count(*) FROM entitlements WHERE order_id = %s AND status = 'active'"
        assert cinema.value(given, order_id) == 1
    await cinema.assert_balanced()


def single(cinema: Cinema, sql: str, *parameters: Any) -> Any:
    """The only value of the only row; ValueError when there are more or none."""
    ((found,),) = cinema.rows(sql, *parameters)
    return found
