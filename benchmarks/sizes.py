"""What an order, its payment, its mail, a renewal and a read cost PostgreSQL. docs/scaling.md calculates with it.

    python -m benchmarks.sizes                        # three to eight minutes on two cores
    python -m benchmarks.sizes --orders-s 3 --renewals 5000

Rows and bytes do not depend on how busy the machine is; processor times do a little. Autovacuum is off, so that no leg pays
for the rows of another.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Final

from redis import Redis

from benchmarks.figures import RESULTS, cpu_s, machine
from benchmarks.heard import CONNECTIONS, heard, plays, silent_facts
from benchmarks.life import afterwards
from benchmarks.meter import Cost, Meter, costs_table, rows_table
from benchmarks.orders import run_python
from benchmarks.renewals import APART, Planned, Worker, make_due, renewed_by, seed
from benchmarks.stage import ISSUER, TOKEN_TTL_S, Stage, open_stage
from infra.servers.ports import free_port, wait_for_http
from infra.standins.auth_service import issue_token

WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    orders_s: float = 15.0  # of orders over HTTP; as many as come about
    customers: int = 8_000
    renewals: int = 60_000  # one after the other, in the order of their ids
    scattered: int = 3_000  # of those, chosen at random, each on pages of its own
    reads: int = 4_000


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> list[Cost]:
    """All legs, one after the other on one database."""
    meter, costs = Meter(stage), list[Cost]()

    def note(cost: Cost) -> None:
        costs.append(cost)
        say(f"{cost.title}: {cost.count:,}")

    meter.set(autovacuum="off", full_page_writes="off")
    note(ordered(meter, options))
    for cost in asyncio.run(afterwards(meter)):
        note(cost)
    note(read(meter, options))
    played = plays(meter, options.reads)
    note(heard(meter, "a later play, delivered to playback", "playback", played))
    note(heard(meter, "a fact without a mail, delivered to notify", "notify", silent_facts(played)))
    with meter.leg("a subscription with its customer, card and last order") as cost:
        plan = seeded(stage, options)
        cost.count = sum(one.count for one in plan)
    note(cost)
    note(renewed(meter, "renewal", plan[0]))
    meter.set(full_page_writes="on")
    scatter(stage, options.scattered, plan[1:])
    note(renewed(meter, "renewal, scattered, after a checkpoint", plan[1]))
    meter.set(wal_compression="pglz")
    note(renewed(meter, "the same with wal_compression = pglz", plan[2]))
    return costs


def ordered(meter: Meter, options: Options) -> Cost:
    """Orders through the real door over HTTP: a new key and a title for each, the answer a link to pay."""
    stage, port = meter.stage, free_port()
    door = stage.serve("create_order", "shared_lib.web.serve:app", port=port, function="create_order")
    wait_for_http(f"http://127.0.0.1:{port}/livez")
    tokens = stage.home / "tokens-of-uuids"
    tokens.write_text("\n".join(token(stage, str(uuid.uuid4())) for _ in range(options.customers)))
    run_python(
        port, CONNECTIONS, WARM_UP_S, [str(stage.tokens(range(1, 500))), str(stage.prices()), "w", "-"]
    )
    with Redis.from_url(stage.redis_url) as redis:
        redis.flushdb()
        with meter.leg("order, to its link") as cost:
            before, memory = stage.value("SELECT count(*) FROM orders"), redis_bytes(redis)
            used_s = cpu_s(door.pid)
            run_python(
                port, CONNECTIONS, options.orders_s, [str(tokens), str(stage.prices()), uuid.uuid4().hex, "-"]
            )
            cost.count = stage.value("SELECT count(*) FROM orders") - before
            cost.door_cpu_s = cpu_s(door.pid) - used_s
            cost.redis_bytes = (redis_bytes(redis) - memory) // max(1, redis.dbsize())
    door.terminate()
    return cost


def redis_bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory_dataset"])


def token(stage: Stage, customer: str) -> str:
    """Of a customer with an id as long as most Auth services make it."""
    return issue_token(
        stage.keys, sub=customer, email=f"{customer}@example.com", locale="en", alg="RS256", ttl_s=TOKEN_TTL_S, issuer=ISSUER
    )  # fmt: skip


def read(meter: Meter, options: Options) -> Cost:
    """What may be watched now, asked by customers who bought titles, as many at once as ordered them."""
    stage, port = meter.stage, free_port()
    door = stage.serve("account", "shared_lib.web.serve:app", port=port, function="account")
    wait_for_http(f"http://127.0.0.1:{port}/livez")
    tokens = (stage.home / "tokens-of-uuids").read_text().split()
    asked = [tokens[n % len(tokens)] for n in range(options.reads)]
    with ThreadPoolExecutor(CONNECTIONS) as pool, meter.leg("GET /v1/entitlements") as cost:
        used_s = cpu_s(door.pid)
        shares = [asked[place::CONNECTIONS] for place in range(CONNECTIONS)]
        cost.count = sum(pool.map(lambda share: ask(port, share), shares))
        cost.door_cpu_s = cpu_s(door.pid) - used_s
    door.terminate()
    return cost


def ask(port: int, tokens: Sequence[str]) -> int:
    """One connection that asks for each customer in turn. Returns how many were answered."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for bearer in tokens:
            connection.request("GET", "/v1/entitlements", headers={"Authorization": f"Bearer {bearer}"})
            answer = connection.getresponse()
            if answer.status != 200 or b"items" not in answer.read():
                raise RuntimeError(f"GET /v1/entitlements: {answer.status}")
    return len(tokens)


def seeded(stage: Stage, options: Options) -> list[Planned]:
    """Three sets of subscriptions, each due at a time of its own."""
    due_at = stage.value("SELECT date_trunc('hour', now()) + interval '1 day'")
    plan = [Planned(name="ours", count=options.renewals, due_at=due_at + n * APART) for n in range(3)]
    seed(stage, plan)
    return plan


def scatter(stage: Stage, count: int, plan: Sequence[Planned]) -> None:
    """Of the subscriptions of each set `count` stay due, chosen at random; the others wait."""
    with stage.db() as db:
        for one in plan:
            db.execute(
                """
                UPDATE subscriptions SET next_action_at = next_action_at + interval '20 days'
                WHERE next_action_at = %(due)s AND id NOT IN (
                    SELECT id FROM subscriptions WHERE next_action_at = %(due)s ORDER BY random() LIMIT %(count)s)
                """,
                {"due": one.due_at, "count": count},
            )
        db.execute("VACUUM ANALYZE subscriptions")


def renewed(meter: Meter, title: str, plan: Planned) -> Cost:
    """What is due is claimed, charged and settled by the code of the renew door, in a process of its own."""
    worker = Worker(meter.stage, "benchmarks.renewal_worker")
    try:
        make_due(meter.stage, plan.due_at)  # ends with a checkpoint, or nearly
        with meter.leg(title) as cost:
            found = renewed_by([worker])
            cost.count, cost.door_cpu_s = found["renewed"], found["cpu_s"]
    finally:
        worker.close()
    return cost


def main(argv: Sequence[str] | None = None) -> None:
    options, whole = arguments().parse_args(argv), Options()
    with open_stage() as stage:
        chosen = Options(
            orders_s=options.orders_s,
            renewals=options.renewals,
            scattered=min(whole.scattered, max(1, options.renewals // 20)),
        )
        costs = measure(stage, chosen, lambda line: print(line, file=sys.stderr, flush=True))
    marks = costs[0].redis_bytes
    print(f"{costs_table(costs)}\n\nA mark in Redis: {marks} bytes.\n\n{rows_table(costs)}")
    RESULTS.parent.mkdir(exist_ok=True)
    kept = {"machine": machine(), "costs": [asdict(cost) for cost in costs]}
    RESULTS.with_name("sizes.json").write_text(json.dumps(kept, indent=2) + "\n")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--orders-s", type=float, default=Options().orders_s, help="seconds of orders")
    parser.add_argument("--renewals", type=int, default=Options().renewals, help="of each of three sets")
    return parser


if __name__ == "__main__":
    main()
