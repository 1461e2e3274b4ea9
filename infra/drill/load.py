"""A steady load of customers for the kill table, from a container beside the stack.

    docker compose run --rm -T demo python -m infra.drill.load --rate 10

Reads commands from stdin, one word per line, and answers each with a line of JSON: `start`, `stop` (no new customers), `month`
(one passes), `look` (customers and work under way) and `count` (what was lost or doubled). Customers call NGINX; failed calls
are retried with the same Idempotency-Key, as a client should.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import httpx
import psycopg
from kafka.errors import KafkaError
from psycopg.rows import dict_row

from infra.demo.bus import Bus
from infra.demo.cinema import Cinema
from infra.demo.inside import inside
from infra.demo.town import UNFINISHED, Json
from infra.drill.books import counted
from infra.drill.customer import Customer, Wish
from shared_lib.settings import Settings, settings
from shared_lib.visible import say

# What UNFINISHED does not count: customers who paid and have no receipt yet. Mails in status unknown are never sent again, so the
# drill does not wait for them.
UNSENT_NOTICES: Final = """
SELECT (SELECT count(*) FROM orders WHERE status = 'pending') AS orders,
       (SELECT count(*) FROM orders o WHERE paid_at IS NOT NULL AND starts_with(customer_id, 'load') AND NOT EXISTS
           (SELECT FROM notifications n WHERE n.customer_id = o.customer_id AND n.event_type = 'billing.order.paid'
                                          AND (n.status IN ('sent', 'skipped', 'unknown')))) AS receipts,
       (SELECT count(*) FROM notifications WHERE status IN ('sending', 'failed')) AS mails,
       (SELECT count(*) FROM entitlements WHERE customer_id = ANY(%(watchers)s) AND first_played_at IS NULL) AS starts
"""

MOVE_CLOCK: Final = """
WITH turned AS (INSERT INTO test_clock (one, ahead) VALUES (true, %(by)s)
                ON CONFLICT (one) DO UPDATE SET ahead = test_clock.ahead + EXCLUDED.ahead)
SELECT count(*) AS due FROM subscriptions WHERE next_action_at <= boxoffice_now() + %(by)s
"""
WISHES: Final = tuple(Wish)
# A little more than the longest month.
MONTH: Final = timedelta(days=31, hours=1)


class Load:
    """New customers at a constant rate, each one a task."""

    def __init__(self, own: Settings, http: httpx.AsyncClient, rate: float) -> None:
        self._running, self._api_key = inside(own), own.sandbox_api_key.get_secret_value()
        self._http, self._rate = http, rate
        self._cinema, self._bus = Cinema(own.kafka_bootstrap), Bus(own)
        self._run = secrets.token_hex(2)
        self._customers: list[Customer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming: asyncio.Task[None] | None = None

    async def start(self) -> Json:
        self._coming = asyncio.create_task(self._come())
        return {}

    async def stop(self) -> Json:
        if self._coming:
            self._coming.cancel()
        return {}

    async def _come(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            number = len(self._customers)
            wish = WISHES[number % len(WISHES)]
            customer = Customer(f"load{number}-{self._run}", wish, self._running, self._http, self._cinema)
            self._customers.append(customer)
            task = asyncio.create_task(customer.visit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def month(self) -> Json:
        """Move the provider's clock and ours by a month, so that subscriptions are due."""
        moved = await self._http.post(
            f"{self._running.sandbox}/control/clock", json={"advance_s": MONTH.total_seconds()}
        )
        moved.raise_for_status()
        (due,) = await self._rows(MOVE_CLOCK, by=MONTH)
        return due

    async def look(self) -> Json:
        """`on_the_way` counts customers; `unrest` is the unfinished work, empty when there is none, None when it could not be read."""
        unrest: Json | None = None
        with suppress(psycopg.Error, httpx.HTTPError, KafkaError, OSError):
            unrest = await asyncio.wait_for(self._unrest(), 10.0)
        return {"on_the_way": len(self._tasks), "came": len(self._customers), "unrest": unrest}

    async def _unrest(self) -> Json:
        counts: Json = {"records": await self._bus.behind()}
        watchers = [one.id for one in self._customers if one.served and one.wish is Wish.WATCH]
        counts |= (await self._rows(UNFINISHED))[0] | (await self._rows(UNSENT_NOTICES, watchers=watchers))[0]
        listed = await self._http.get(f"{self._running.sandbox}/control/webhooks")
        waiting = sum(one["state"] == "waiting" for one in listed.raise_for_status().json()["deliveries"])
        return {name: count for name, count in (counts | {"deliveries": waiting}).items() if count}

    async def count(self) -> Json:
        """Compares what customers saw, the provider's books and our rows; see books.py."""
        answer = await self._http.get(
            f"{self._running.sandbox}/v1/books", headers={"authorization": f"Bearer {self._api_key}"}
        )
        return await counted(self._rows, answer.raise_for_status().json(), self._customers)

    async def _rows(self, sql: str, **values: Any) -> list[Json]:
        async with await psycopg.AsyncConnection.connect(
            self._running.database_url, autocommit=True, row_factory=dict_row, connect_timeout=3
        ) as db:
            return await (await db.execute(sql, values or None)).fetchall()


async def run_commands(load: Load) -> None:
    """Run the commands from stdin until it ends."""
    known: dict[str, Callable[[], Awaitable[Any]]] = {
        "start": load.start,
        "stop": load.stop,
        "month": load.month,
        "look": load.look,
        "count": load.count,
    }
    while line := await asyncio.to_thread(sys.stdin.readline):
        if word := line.strip():
            say(json.dumps(await known[word](), default=str))


async def main() -> None:
    parser = argparse.ArgumentParser(prog="infra.drill.load")
    parser.add_argument("--rate", type=float, default=10.0, help="customers per second")
    options = parser.parse_args()
    own = settings()
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=50)
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(30.0, connect=3.0), limits=limits, trust_env=False
    ) as http:
        await run_commands(Load(own, http, options.rate))


if __name__ == "__main__":
    asyncio.run(main())
