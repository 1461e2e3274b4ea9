"""What an order through the door costs beside the sum of what it cannot do without, each measured alone: processor time of the door's side.

The parts: an ASGI server that does nothing, one RS256 verification, one POST to the provider by a bare client, two bare transactions,
one claim in Redis, one line of log. What the door takes beyond their sum is its own: parsing, deciding, waiting for one another.
"""

from __future__ import annotations

import base64
import hashlib
import os
import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt
import msgspec
import psycopg
import uvloop
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from redis.asyncio import Redis

from benchmarks import orders, provider_call
from benchmarks.controls.statements import OPEN_BY_PSYCOPG, REPLY_BYTES, SETTLE_BY_PSYCOPG
from benchmarks.figures import Contender, Leg, Report, rotated, spread
from benchmarks.life import BATCH
from benchmarks.stage import TITLES, Stage, customer_id, seed_orders
from shared_lib.store.outbox import shard_of
from shared_lib.store.replay import CLAIM

IN_FLIGHT: Final = 64
GOAL: Final = 1.6
LINE: Final = {
    "event": "request", "level": "info", "function": "create_order", "method": "POST", "path": "/v1/orders", "status": 201, "ms": 29.4,
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "customer": "cus_000001", "order": "ord_01KC3W8Q6Z5W7Y0J2M4N6P8R9S",
    "timestamp": "2026-01-01T00:00:00.000000Z",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 5
    seconds: float = 8.0  # of load on a server
    count: int = 3_200  # of what is measured in this process
    customers: int = 12_000
    connections: int = IN_FLIGHT
    generator: str = "wrk"


TITLES_OF_PARTS: Final[Mapping[str, str]] = {
    "ours": "an order through the door, the provider over HTTP",
    "server": "a null ASGI app under the same server and load",
    "rsa": "one RS256 verification by cryptography",
    "post": f"one POST to the provider by aiohttp alone, {IN_FLIGHT} in flight",
    "transactions": f"two statements of (b), which open and settle an order, {BATCH} in a commit, by psycopg's pipeline",
    "redis": f"one mark in Redis, {BATCH} in a call",
    "log": "one line of log, encoded and written",
}


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    """Every part in every round, another one first each time."""
    seed_orders(stage, customers=options.customers, history=10_000)
    contenders = {name: Contender(name, title) for name, title in TITLES_OF_PARTS.items()}
    bench = Bench(stage, options)
    for n in range(options.rounds):
        for name in rotated(list(contenders), n):
            cpu_us = bench.leg(name, n)
            contenders[name].legs.append(Leg(per_s=0.0, cpu_us=cpu_us))
            say(f"round {n + 1} {name}: {cpu_us:,.1f} us")
    cost = {name: [leg.cpu_us or 0.0 for leg in one.legs] for name, one in contenders.items()}
    sums = [sum(legs) for legs in zip(*(cost[name] for name in cost if name != "ours"), strict=True)]
    shares = [ours / parts for ours, parts in zip(cost["ours"], sums, strict=True)]
    return Report(
        title=f"An order and the sum of its parts, {options.rounds} rounds",
        unit="-",
        contenders=list(contenders.values()),
        notes=[
            f"The sum of the parts: {spread(sums)} us. The door: {spread(shares)} times as much (goal: at most {GOAL}).",
            f"Median of the door less the median sum: {statistics.median(cost['ours']) - statistics.median(sums):,.0f} us.",
        ],
    )


class Bench:
    """Runs one leg of one part; each leg is processor time of one order in microseconds."""

    def __init__(self, stage: Stage, options: Options) -> None:
        self._stage, self._options = stage, options
        self._provider = stage.start_provider()
        self._load = orders.Options(
            seconds=options.seconds,
            warmup_s=min(2.0, options.seconds),
            connections=options.connections,
            customers=options.customers,
            generator=options.generator,
        )
        self._servers = {
            name: next(way for way in orders.WAYS if way.name == of)
            for name, of in (("ours", "ours"), ("server", "d"))
        }
        self._ports = orders.start(stage, list(self._servers.values()), self._provider)
        customers = options.customers
        self._tokens = orders.Tokens(
            of_leg=stage.tokens(range(1, customers + 1)),
            of_warmup=stage.tokens(range(customers + 1, 2 * customers + 1)),
            prices=stage.prices(),
        )

    def leg(self, name: str, n: int) -> float:
        if name in self._servers:
            way = self._servers[name]
            first = n * self._options.customers // self._options.rounds
            tokens = replace(
                self._tokens,
                of_leg=self._stage.tokens_from(
                    self._stage.tokens(range(1, self._options.customers + 1)), first
                ),
                prices=self._stage.prices(n),
            )
            orders.fresh(self._stage)
            found = orders.run_http(self._stage, self._load, way, self._ports[way.server], tokens).cpu_us
            assert found is not None
            return found
        count = self._options.count
        if name == "rsa":
            return self._verified(count)
        if name == "log":
            return self._written(count)
        if name == "post":
            return uvloop.run(
                provider_call.leg(provider_call.aiohttp_alone, self._provider, IN_FLIGHT, count)
            )
        return uvloop.run(
            self._committed(count) if name == "transactions" else marked(self._stage.redis_url, count)
        )

    def _verified(self, count: int) -> float:
        tokens = self._tokens.of_leg.read_text().split()
        key = jwt.PyJWK(self._stage.keys.by_algorithm["RS256"].public_jwk()).key
        parts = [tokens[n % len(tokens)].rpartition(".") for n in range(count)]
        signed = [(base64.urlsafe_b64decode(proof + "=="), text.encode()) for text, _, proof in parts]
        padding, digest = PKCS1v15(), SHA256()
        return used_us(count, lambda: [key.verify(proof, text, padding, digest) for proof, text in signed])

    def _written(self, count: int) -> float:
        with (self._stage.home / "parts.log").open("ab", buffering=0) as log:
            encode = msgspec.json.Encoder().encode
            return used_us(count, lambda: [log.write(encode(LINE) + b"\n") for _ in range(count)])

    async def _committed(self, count: int) -> float:
        """Open a batch in one commit and settle it in another, as the door does with what waits together."""
        batches = [[asked(self._options.customers, n) for n in range(BATCH)] for _ in range(count // BATCH)]
        url = self._stage.database_url
        async with await psycopg.AsyncConnection.connect(url, prepare_threshold=1) as db, db.cursor() as rows:
            await commit(db, rows, [asked(self._options.customers, n) for n in range(BATCH)])
            began = time.process_time()
            for batch in batches:
                await commit(db, rows, batch)
            return 1e6 * (time.process_time() - began) / (len(batches) * BATCH)


async def commit(
    db: psycopg.AsyncConnection[Any], rows: psycopg.AsyncCursor[Any], batch: Sequence[dict[str, Any]]
) -> None:
    """Raises RuntimeError when an order was not stored or not settled."""
    await rows.executemany(OPEN_BY_PSYCOPG, batch, returning=True)
    opened = [row async for result in rows.results() for row in await result.fetchall()]
    await db.commit()
    await rows.executemany(SETTLE_BY_PSYCOPG, [settled(one) for one in batch])
    await db.commit()
    if not len(opened) == rows.rowcount == len(batch):
        raise RuntimeError(f"{len(batch)} orders, {len(opened)} opened, {rows.rowcount} settled")


def asked(customers: int, n: int) -> dict[str, Any]:
    """An order of one of the customers, as the controls ask for it."""
    id_, customer = uuid.uuid4().hex[:26], customer_id(1 + int(time.monotonic_ns() // 1000 + n) % customers)
    return {
        "customer_id": customer, "email": f"{customer}@example.com", "locale": "en", "key": id_,
        "fingerprint": hashlib.sha256(id_.encode()).digest(), "price_id": f"prc_b{1 + n % TITLES:03}_rent",
        "return_url": "http://cinema.test/thanks", "order_id": f"ord_{id_}", "payment_id": f"pay_{id_}", "event_id": f"evt_{id_}",
        "shard": shard_of(customer), "provider": "sandbox",
    }  # fmt: skip


def settled(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ref": f"sbx_{one['payment_id']}", "url": f"https://pay.example/{one['payment_id']}", "payment_id": one["payment_id"],
        "body": b"{}".ljust(REPLY_BYTES), "location": f"/v1/orders/{one['order_id']}", "customer_id": one["customer_id"],
        "key": one["key"],
    }  # fmt: skip


async def marked(url: str, count: int) -> float:
    """Marks of keys that are new, by the door's script."""
    async with Redis.from_url(url) as redis:

        async def mark() -> None:
            keys = [os.urandom(32).hex() for _ in range(BATCH)]
            await redis.eval(CLAIM, BATCH, *keys, *(each for key in keys for each in (key, 30)))

        await mark()
        began = time.process_time()
        for _ in range(count // BATCH):
            await mark()
        return 1e6 * (time.process_time() - began) / (count // BATCH * BATCH)


def used_us(count: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began) / count
