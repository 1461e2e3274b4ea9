"""Reading topics back, and a relay as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from infra.local.processes import ROOT
from infra.sandbox.launch import new_webhook_secret
from infra.servers.access import role_url
from infra.servers.leash import spawn
from shared_lib.billing.events import Event
from shared_lib.processes import Role
from shared_lib.runtime import Runtime
from shared_lib.store.transaction import Transaction
from tests.kit.waiting import PATIENCE_S


def facts(customer: str, count: int, topic: str, *, first: int = 1) -> list[Event]:
    """Numbered facts about one order of a customer."""
    return [
        Event(
            type="billing.order.paid",
            subject=f"ord_{customer}",
            sequence=n,
            partition_key=customer,
            data={"n": n, "customer_id": customer},
            topic=topic,
        )
        for n in range(first, first + count)
    ]


def all_records(bootstrap: str, topic: str) -> list[Any]:
    """Everything a topic holds now, partition by partition in the order of offsets."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)) as consumer:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[Any]] = defaultdict(list)
        while any(consumer.position(one) < ends[one] for one in partitions):
            for one, records in consumer.poll(500).items():
                found[one].extend(records)
        return [record for one in partitions for record in found[one]]


def header(record: Any, name: str) -> str:
    return str(dict(record.headers)[name].decode())


def first_told(records: Sequence[Any]) -> dict[str, list[int]]:
    """Customer -> sequence numbers in the order a consumer first saw them; what came again is dropped by ce_id."""
    seen, told = set(), defaultdict(list)
    for record in records:
        if (event_id := header(record, "ce_id")) not in seen:
            seen.add(event_id)
            told[record.key.decode()].append(int(header(record, "ce_sequence")))
    return dict(told)


@contextmanager
def relay_process(
    database_url: str, bootstrap: str, *, module: str = "shared_lib.workers.relay", **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m shared_lib.workers.relay`, ended with SIGTERM unless the test ended it otherwise."""
    settings = {
        "DATABASE_URL": role_url(database_url, Role.RELAY),
        "KAFKA_BOOTSTRAP": bootstrap,
        "SANDBOX_URL": "http://127.0.0.1:9",
        "SANDBOX_WEBHOOK_SECRETS": new_webhook_secret(),
    }
    environment = os.environ | {f"BOXOFFICE_{name}": value for name, value in settings.items()} | more
    argv = [sys.executable, "-W", "ignore", "-m", module]
    process = spawn(argv, output=subprocess.DEVNULL, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_S)


async def dead(rt: Runtime) -> list[tuple[str, str, str]]:
    """(customer, reason, body) of the dead letters."""
    return await rt.read(_dead, None)


async def _dead(tx: Transaction, _: None) -> list[tuple[str, str, str]]:
    rows = await tx.fetch("SELECT partition_key, reason, convert_from(body, 'UTF8') FROM dead_letters")
    return [(row[0], row[1], row[2]) for row in rows]
