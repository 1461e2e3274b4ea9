"""The relay: what stands in the outbox, into Kafka. How many a second, and how long after the commit.

A backlog is committed at once and the time is taken until the outbox is empty; then a steady stream is offered, and the
broker's own clock (LogAppendTime) says when each record stood in its log.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from kafka import KafkaConsumer, TopicPartition

from benchmarks.figures import Contender, Leg, Report, cpu_s, peak_mib, percentile, ratios, rotated, spread
from benchmarks.outbox_rows import RECORD_BYTES, TOPIC, insert, rows
from benchmarks.stage import ROOT, Stage
from infra.kafka.choice import bootstrap as running_kafka
from infra.kafka.jars import classpath, java
from shared_lib.workers import topics
from shared_lib.workers.shards import LOCK_CLASS

DRAIN_BATCH: Final = 1000
PER_COMMIT: Final = 5  # events of one transaction of the steady stream
LEG_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 5
    events: int = 50_000
    one_row_events: int = 1_500
    offered_per_s: int = 1_000
    offered_s: float = 10.0
    behind_s: float = 2.0  # the relay that takes row by row cannot keep up: the longer, the later
    only: Sequence[str] = ()


TITLES: Final = {
    "ours": "the relay, one process",
    "ours twice": "two of them, which share the shards",
    "a": "one row at a time: lock, send, acknowledged, delete, commit",
    "b1": "kafka-python alone, the same records built beforehand",
    "b2": f"kafka-producer-perf-test (Java), acks=all, {RECORD_BYTES} bytes",
    "c": f"PostgreSQL alone: DELETE ... RETURNING, {DRAIN_BATCH:,} rows a commit",
}


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    """Every contender in every round, another one first each time."""
    names = [name for name in TITLES if not options.only or name in options.only]
    contenders = {name: Contender(name, TITLES[name]) for name in names}
    with running_kafka() as bootstrap:
        topics.create([bootstrap])
        topics.create([bootstrap], [topics.Topic(name=PERF)])
        _stamp_on_append(bootstrap)
        bench = Bench(stage, bootstrap, options)
        for n in range(options.rounds):
            for name in rotated(names, n):
                leg = bench.run(name, contenders[name])
                contenders[name].legs.append(leg)
                late = f", p99 {leg.p99_ms:.0f} ms after the commit" if leg.p99_ms is not None else ""
                say(f"round {n + 1} {name}: {leg.per_s:,.0f}/s{late}")
    return Report(
        title=f"Outbox to Kafka, {options.rounds} rounds of {options.events:,} events",
        unit="events/s",
        contenders=list(contenders.values()),
        baseline="a" if "a" in names else None,
        columns=(
            f"p50 ms after commit at {options.offered_per_s:,}/s",
            f"p99 ms after commit at {options.offered_per_s:,}/s",
        ),
        notes=[
            *_share(contenders),
            "After each leg the topic holds every event of it (checked); none came twice.",
        ],
    )


def _share(contenders: dict[str, Contender]) -> list[str]:
    """The share of the possible that is reached: the client library bounds sending, PostgreSQL bounds deleting."""
    if not {"ours", "b1", "c"} <= contenders.keys():
        return []
    found = [
        ours.per_s / min(alone.per_s, drain.per_s)
        for ours, alone, drain in zip(*(contenders[name].legs for name in ("ours", "b1", "c")), strict=True)
    ]
    java_share = spread(ratios(contenders["ours"], contenders["b2"], _rate)) if "b2" in contenders else "-"
    return [f"Share of the limit, min(b1, c) of the same round: {spread(found)}; of b2: {java_share}."]


def _rate(leg: Leg) -> float | None:
    return leg.per_s


PERF: Final = "perf-test"


class Bench:
    """Runs one leg of one contender."""

    def __init__(self, stage: Stage, bootstrap: str, options: Options) -> None:
        self._stage, self._bootstrap, self._options = stage, bootstrap, options
        self._inserted = 0

    def run(self, name: str, contender: Contender) -> Leg:
        self._fresh()
        match name:
            case "ours" | "ours twice":
                return self._relay(contender, 2 if name == "ours twice" else 1, self._options.events)
            case "a":
                return self._relay(contender, 0, self._options.one_row_events)
            case "b1":
                return self._bare_producer()
            case "b2":
                return self._java()
            case _:
                return self._drain()

    def _fresh(self) -> None:
        with self._stage.db() as db:
            db.execute("TRUNCATE outbox")
            db.execute("CHECKPOINT")

    def _relay(self, contender: Contender, ours: int, count: int) -> Leg:
        """`ours` relays, or with 0 the one that takes row by row."""
        with self._relays(ours) as pids:
            self._drained(self._backlog(200))  # warm: connected, metadata known
            used_s, offset = sum(map(cpu_s, pids)), self._end()
            took_s = self._drained(self._backlog(count))
            cpu_us = 1e6 * (sum(map(cpu_s, pids)) - used_s) / count
            if (there := self._end() - offset) != count:
                raise RuntimeError(
                    f"{contender.name}: {count} events in the outbox, {there} records in Kafka"
                )
            late_ms = (
                [] if ours > 1 else self._late_ms(self._options.offered_s if ours else self._options.behind_s)
            )
            contender.peak_mib = max(contender.peak_mib or 0.0, *map(peak_mib, pids))
        return Leg(
            per_s=count / took_s,
            p50_ms=percentile(late_ms, 50) if late_ms else None,
            p99_ms=percentile(late_ms, 99) if late_ms else None,
            cpu_us=cpu_us,
            count=count,
        )

    @contextmanager
    def _relays(self, ours: int) -> Iterator[list[int]]:
        kafka = {"BOXOFFICE_KAFKA_BOOTSTRAP": self._bootstrap}
        if ours:
            started = [
                self._stage.spawn(f"relay{n}", "-m", "shared_lib.workers.relay", env=kafka)
                for n in range(ours)
            ]
        else:
            argv = ["-m", "benchmarks.controls.one_row_relay", self._stage.database_url, self._bootstrap]
            started = [self._stage.spawn("one-row", *argv)]
        try:
            if ours:
                self._until(lambda: self._owners() == [12 // ours] * ours)
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
                process.wait(30)

    def _owners(self) -> list[int]:
        with self._stage.db() as db:
            found = db.execute(
                "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND classid = %s GROUP BY pid",
                [LOCK_CLASS],
            ).fetchall()
        return [row[0] for row in found]

    def _backlog(self, count: int) -> float:
        """Commit so many at once. Returns when."""
        filled = list(rows(count, first=self._inserted))
        self._inserted += count
        with psycopg.connect(self._stage.database_url) as db:
            insert(db, filled)
            db.commit()
            return time.perf_counter()

    def _drained(self, began: float) -> float:
        """Wait until the outbox is empty. Returns the seconds since."""
        with self._stage.db() as db:
            self._until(lambda: db.execute("SELECT EXISTS (SELECT FROM outbox)").fetchone() == (False,))
        return time.perf_counter() - began

    @staticmethod
    def _until(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LEG_TIMEOUT_S
        while not true():
            if time.monotonic() > deadline:
                raise RuntimeError("a relay does not get on")
            time.sleep(0.01)

    def _late_ms(self, offered_s: float) -> list[float]:
        """Offer a steady stream; milliseconds from the return of each commit to the broker's append, in order of size."""
        options, offset = self._options, self._ends()
        commits = round(offered_s * options.offered_per_s / PER_COMMIT)
        first, committed_at = self._inserted, list[float]()
        self._inserted += commits * PER_COMMIT
        with psycopg.connect(self._stage.database_url) as db:
            began = time.perf_counter()
            for n in range(commits):
                filled = list(rows(PER_COMMIT, first=first + n * PER_COMMIT))
                wait_s = began + n * PER_COMMIT / options.offered_per_s - time.perf_counter()
                time.sleep(max(0.0, wait_s))
                insert(db, filled)
                db.commit()
                committed_at.append(datetime.now(UTC).timestamp())
        self._drained(began)
        late = []
        for record in self._records(offset):
            place = (json.loads(record.value)["n"] - first) // PER_COMMIT
            late.append(max(0.0, record.timestamp - 1000 * committed_at[place]))
        if len(late) != commits * PER_COMMIT:
            raise RuntimeError(f"{commits * PER_COMMIT} events offered, {len(late)} records in Kafka")
        return sorted(late)

    def _end(self) -> int:
        return sum(self._ends().values())

    def _ends(self) -> dict[TopicPartition, int]:
        with closing(KafkaConsumer(bootstrap_servers=self._bootstrap)) as consumer:
            partitions = [TopicPartition(TOPIC, n) for n in consumer.partitions_for_topic(TOPIC) or ()]
            found: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        return found

    def _records(self, since: dict[TopicPartition, int]) -> Iterator[Any]:
        ends = self._ends()
        with closing(KafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)) as consumer:
            consumer.assign(list(since))
            for partition, offset in since.items():
                consumer.seek(partition, offset)
            while any(consumer.position(one) < ends[one] for one in since):
                for records in consumer.poll(500).values():
                    yield from records

    def _bare_producer(self) -> Leg:
        argv = [sys.executable, "-W", "ignore", "-m", "benchmarks.controls.bare_producer"]
        ran = subprocess.run(
            [*argv, self._bootstrap, str(self._options.events)],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=LEG_TIMEOUT_S,
        )  # fmt: skip
        found = json.loads(ran.stdout)
        return Leg(per_s=found["per_s"], cpu_us=found["cpu_us"], count=self._options.events)

    def _java(self) -> Leg:
        argv = [java(), "-Xmx256m", "-cp", classpath(), "org.apache.kafka.tools.ProducerPerformance"]
        argv += ["--topic", PERF, "--num-records", str(4 * self._options.events), "--throughput", "-1"]
        argv += ["--record-size", str(RECORD_BYTES), "--producer-props", "acks=all", "batch.size=65536"]
        argv += [f"bootstrap.servers={self._bootstrap}"]
        ran = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LEG_TIMEOUT_S)
        found = re.findall(r"records sent, ([\d.]+) records/sec", ran.stdout)
        return Leg(per_s=float(found[-1]), count=4 * self._options.events)

    def _drain(self) -> Leg:
        began = self._backlog(self._options.events)
        with psycopg.connect(self._stage.database_url, prepare_threshold=1) as db:
            taken = 0
            while taken < self._options.events:
                taken += len(db.execute(_DRAIN, [DRAIN_BATCH], binary=True).fetchall())
                db.commit()
        return Leg(per_s=taken / (time.perf_counter() - began), count=taken)


_DRAIN: Final = """
    DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM outbox ORDER BY id LIMIT %s))
    RETURNING id, event_id, topic, type, subject, sequence, partition_key, data::text, traceparent, created_at
"""


def _stamp_on_append(bootstrap: str) -> None:
    """The broker writes down when it appended a record, instead of when the producer made it."""
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient  # noqa: PLC0415

    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs=stamped)])
