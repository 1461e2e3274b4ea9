"""Measure Boxoffice beside the usual ways: `make bench`, or `make bench ARGS="orders --rounds 3"`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks import cold, latency, orders, parts, relay, renewals, trigger
from benchmarks.figures import Report, machine, save, table
from benchmarks.stage import open_stage

ALL = ("orders", "orders-alone", "parts", "renewals", "renewals-latency", "cold", "relay", "trigger")


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments().parse_args(argv)
    only = tuple(options.only.split(",")) if options.only else ()
    about = machine() | {"began_at": datetime.now(UTC).isoformat(timespec="seconds")}
    reports: list[Report] = []
    for name in options.benchmarks or ALL:
        with open_stage() as stage:
            if name in ("orders", "orders-alone"):
                generator = orders.find_generator(options.generator)
                chosen = orders.Options(
                    rounds=options.rounds,
                    seconds=options.seconds,
                    warmup_s=min(2.0, options.seconds),
                    connections=options.connections,
                    customers=options.customers,
                    history=options.history,
                    generator=generator,
                    only=only,
                    over_http=name == "orders",
                )
                reports.append(orders.measure(stage, chosen, say))
            elif name == "parts":
                one_order = parts.Options(
                    rounds=options.rounds,
                    seconds=options.seconds,
                    customers=options.customers,
                    connections=options.connections,
                    generator=orders.find_generator(options.generator),
                )
                reports.append(parts.measure(stage, one_order, say))
            elif name == "renewals":
                wanted = renewals.Options(
                    rounds=options.rounds,
                    renewals=options.renewals,
                    orm_sample=options.orm_sample,
                    job_sample=options.job_sample,
                    sql_sample=options.sql_sample,
                    only=only,
                )
                reports.append(renewals.measure(stage, wanted, say))
            elif name == "renewals-latency":
                slow = latency.Options(
                    rounds=options.rounds,
                    renewals=options.slow,
                    latencies_ms=[int(ms) for ms in options.latencies.split(",")],
                )
                reports.append(latency.measure(stage, slow, say))
            elif name == "relay":
                of_relay = relay.Options(rounds=options.rounds, events=options.events, only=only)
                reports.append(relay.measure(stage, of_relay, say))
            elif name == "trigger":
                carried = trigger.Options(rounds=options.rounds, events=options.carried, only=only)
                reports.append(trigger.measure(stage, carried, say))
            else:
                reports.append(cold.measure(stage, options.rounds, say))
        print(f"\n{table(reports[-1])}\n", flush=True)
    about["load_after"] = os.getloadavg()[0]
    save({"machine": about, "reports": reports})


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", choices=[*ALL, []], metavar="|".join(ALL))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="contenders by name, comma between: ours,a")
    many = parser.add_argument_group("orders")
    many.add_argument("--seconds", type=float, default=8.0, help="of each contender in each round")
    many.add_argument("--connections", type=int, default=64)
    many.add_argument("--customers", type=int, default=12_000)
    many.add_argument("--history", type=int, default=100_000, help="orders that are there already")
    many.add_argument("--generator", choices=["auto", "wrk", "python"], default="auto")
    due = parser.add_argument_group("renewals")
    due.add_argument("--renewals", type=int, default=1_000_000, help="ours, over all rounds")
    due.add_argument("--orm-sample", type=int, default=1_000, help="of the ORM loop in each round")
    due.add_argument("--job-sample", type=int, default=5_000, help="of the jobs in each round")
    due.add_argument("--sql-sample", type=int, default=50_000, help="of the one-statement SQL in each round")
    due.add_argument("--slow", type=int, default=5_000, help="renewals-latency: of each leg")
    due.add_argument("--latencies", default="300,3000", help="renewals-latency: milliseconds, comma between")
    bus = parser.add_argument_group("relay")
    bus.add_argument("--events", type=int, default=50_000, help="the backlog of each leg")
    carry = parser.add_argument_group("trigger")
    carry.add_argument("--carried", type=int, default=10_000, help="events of a leg; slow ways get fewer")
    return parser


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
