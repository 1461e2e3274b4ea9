"""Kafka away for a minute under a load of orders: failed orders, the outbox at its longest, seconds until every event is delivered.

python -m benchmarks.outage [--away 60] [--connections 8]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import uuid
from contextlib import closing
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from benchmarks.orders import last_line
from benchmarks.stage import ROOT, Stage, open_stage, seed_orders
from infra.kafka.choice import OwnKafka, own_broker
from infra.servers.ports import free_port, wait_for_http
from shared_lib.billing.events import FACTS
from shared_lib.workers import topics

BEFORE_S: Final = 10.0
AFTER_S: Final = 30.0
CUSTOMERS: Final = 2_000
# Events younger than a second are no backlog.
CALM: Final = "SELECT count(*) FROM outbox WHERE available_at < now() - interval '1 s' AND available_at <= boxoffice_now()"


def main() -> None:
    options = arguments().parse_args()
    with open_stage() as stage, own_broker() as broker:
        topics.create([broker.bootstrap])
        seed_orders(stage, customers=CUSTOMERS, history=1_000)
        found = run(stage, broker, options.away, options.connections)
    print("| | |\n| --- | --- |")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    if found["failed orders"]:
        sys.exit(1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--away", type=float, default=60.0, help="seconds")
    parser.add_argument("--connections", type=int, default=8, help="customers who order one after the other")
    return parser


def run(stage: Stage, broker: OwnKafka, away_s: float, connections: int) -> dict[str, str | int]:
    port = free_port()
    stage.serve("door", "shared_lib.web.serve:app", port=port, function="create_order")
    wait_for_http(f"http://127.0.0.1:{port}/livez")
    relay = stage.spawn(
        "relay", "-m", "shared_lib.workers.relay", env={"BOXOFFICE_KAFKA_BOOTSTRAP": broker.bootstrap}
    )
    before = stage.value("SELECT count(*) FROM orders")
    load = _load(stage, port, connections, BEFORE_S + away_s + AFTER_S)
    time.sleep(BEFORE_S)
    broker.stop()
    peak = _longest(stage, away_s)
    broker.start()
    back_at = time.monotonic()
    while stage.value(CALM):
        if relay.poll() is not None or time.monotonic() - back_at > 600:
            raise RuntimeError(f"the relay does not drain:\n{stage.log_tail('relay')}")
        time.sleep(0.1)
    drained_s = time.monotonic() - back_at
    answered = last_line(load.communicate()[0])
    while stage.value("SELECT count(*) FROM outbox WHERE available_at <= boxoffice_now()"):
        time.sleep(0.05)
    stored = stage.value("SELECT count(*) FROM orders") - before
    arrived = _arrived(broker.bootstrap)
    if len(set(arrived)) != stored:
        raise RuntimeError(f"{stored} orders stored, {len(set(arrived))} in Kafka")
    return {
        "seconds without a broker": f"{away_s:g}",
        "orders answered, per second": f"{answered['requests']:,}, {answered['requests'] / answered['seconds']:,.0f}",
        "failed orders": answered["failed"],
        "slowest order, ms": f"{answered['max_ms']:,.0f}",
        "outbox at its longest": f"{peak:,}",
        "seconds until nothing older than a second waited": f"{drained_s:.1f}",
        "orders that arrived in Kafka": f"{len(set(arrived)):,} of {stored:,}; {len(arrived) - len(set(arrived)):,} twice",
        "dead letters": stage.value("SELECT count(*) FROM dead_letters"),
    }


def _load(stage: Stage, port: int, connections: int, seconds: float) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "benchmarks.generator", str(port), str(connections), str(seconds)]
    argv += [str(stage.tokens(range(1, CUSTOMERS + 1))), str(stage.prices()), uuid.uuid4().hex, "-"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _longest(stage: Stage, seconds: float) -> int:
    """Watch the outbox for so long."""
    until, longest = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        longest = max(longest, stage.value("SELECT count(*) FROM outbox"))
        time.sleep(0.5)
    return longest


def _arrived(bootstrap: str) -> list[str]:
    """The subject of every billing.order.created in Kafka."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)) as consumer:
        partitions = [TopicPartition(FACTS, n) for n in consumer.partitions_for_topic(FACTS) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends: dict[Any, int] = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(one) < ends[one] for one in partitions):
            for records in consumer.poll(500).values():
                headers = [dict(record.headers) for record in records]
                found += [
                    one["ce_subject"].decode()
                    for one in headers
                    if one["ce_type"] == b"billing.order.created"
                ]
    return found


if __name__ == "__main__":
    main()
