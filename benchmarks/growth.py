"""What the reads of doors and ticks cost as the past grows: a database of a tenth of the size, then the whole.

    python -m benchmarks.growth                       # 1 million orders and subscriptions, 10 million keys: 12 GB of disk
    python -m benchmarks.growth --rows 100000         # a tenth of everything

Rows are made by `years.py`: nothing waits in them. `CPU us` is the processor time of the backend of PostgreSQL for one read, which other work
of the machine changes least. It is no part of `make bench` or of continuous integration.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from benchmarks.figures import cpu_s, machine, number
from benchmarks.stage import POSTGRES
from benchmarks.years import fill
from infra.servers.access import prepare
from infra.servers.postgres import temporary_postgres
from shared_lib.billing.replies import Key
from shared_lib.queries import account, due, health, past
from shared_lib.store.keys import look_at_keys
from shared_lib.store.transaction import Transaction, snapshot

KEYS: Final = 10  # for each order
ROWS: Final = 1_000_000
READS: Final = 300
PAST: Final = past.Past(days=30, limit=5000)


@dataclass(frozen=True, slots=True)
class Read:
    """A question of a door, or of a tick, about a customer's number."""

    name: str
    ask: Callable[[Transaction, int], Awaitable[Any]]


READ: Final = (
    Read("a customer's orders", lambda tx, n: account.orders(tx, _of(n))),
    Read("one order", lambda tx, n: account.orders(tx, _of(n, f"ord_{n}"))),
    Read(
        "an operator's order", lambda tx, n: account.orders(tx, account.Ask(customer_id=None, id=f"ord_{n}"))
    ),
    Read("subscriptions", lambda tx, n: account.subscriptions(tx, _of(n))),
    Read("entitlements", lambda tx, n: account.entitlements(tx, _of(n))),
    Read("one refund", lambda tx, n: account.refunds(tx, _of(n, f"ref_{n}"))),
    Read("payment methods", lambda tx, n: account.payment_methods(tx, _of(n))),
    Read(
        "a key that is new", lambda tx, n: look_at_keys(tx, [Key(f"cus_{n}", "POST /v1/orders", "new", b"")])
    ),
    Read("due subscriptions", lambda tx, _: due.due_subscriptions(tx, 1000)),
    Read("due payments", lambda tx, _: due.due_payments(tx, 200)),
    Read("due refunds", lambda tx, _: due.due_refunds(tx, 200)),
    Read("parked webhooks", lambda tx, _: due.parked(tx, 200)),
    Read("backlog", lambda tx, _: health.backlog(tx, None)),
    Read("expired keys", lambda tx, _: past.expired_keys(tx, 5000)),
    Read("old messages", lambda tx, _: past.old_messages(tx, PAST)),
    Read("old mails", lambda tx, _: past.old_mails(tx, PAST)),
    Read("old letters", lambda tx, _: past.old_letters(tx, PAST)),
)


def _of(n: int, id_: str | None = None) -> account.Ask:
    return account.Ask(customer_id=f"cus_{n}", id=id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Of one size: for each read its median in ms, and processor time of the server in us."""

    rows: int
    found: dict[str, tuple[float, float]]


async def measure(url: str, rows: int, say: Callable[[str], None], *, reads: int = READS) -> list[Point]:
    """Fill a tenth, read, fill the rest, read again."""
    points = []
    for before, upto in ((0, rows // 10), (rows // 10, rows)):
        began = time.perf_counter()
        with psycopg.connect(url, autocommit=True) as db:
            fill(db, upto - before, first=before + 1, keys=KEYS)
            db.execute("VACUUM")
            db.execute("CHECKPOINT")
        say(
            f"{upto:,} orders and subscriptions, {KEYS * upto:,} keys: filled in {time.perf_counter() - began:.0f} s"
        )
        found = {one.name: await _cost(url, one, upto, reads) for one in READ}
        points.append(Point(rows=upto, found=found))
    return points


async def _cost(url: str, read: Read, rows: int, reads: int) -> tuple[float, float]:
    numbers = random.Random(7)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        walls, used = [], 0.0
        for turn in range(reads + 10):
            if turn == 10:  # prepared and warm
                used = cpu_s(connection.info.backend_pid)
            began = time.perf_counter()
            async with snapshot(connection) as tx:
                await read.ask(tx, numbers.randint(1, rows))
            if turn >= 10:
                walls.append(1e3 * (time.perf_counter() - began))
        used = cpu_s(connection.info.backend_pid) - used
    return statistics.median(walls), 1e6 * used / reads


def table(points: Sequence[Point]) -> str:
    """Markdown, for docs/benchmarks.md."""
    heads = " | ".join(f"{point.rows:,}: ms | CPU us" for point in points)
    lines = [f"| orders | {heads} |", "| --- |" + " --- | --- |" * len(points)]
    for read in READ:
        cells = [
            f"{number(ms)} | {cpu_us:,.0f}" for ms, cpu_us in (point.found[read.name] for point in points)
        ]
        lines.append(f"| {read.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="orders, subscriptions, and a tenth of the keys"
    )
    options = parser.parse_args(argv)
    print(machine(), file=sys.stderr)
    with temporary_postgres(POSTGRES) as postgres:
        url = postgres.create_database("growth")
        prepare(url)
        points = asyncio.run(
            measure(url, options.rows, lambda line: print(line, file=sys.stderr, flush=True))
        )
    print(table(points))


if __name__ == "__main__":
    main()
