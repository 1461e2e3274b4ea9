"""The trigger: from Kafka to a door over HTTP. How many a second beside simpler ways, with a quick and with a slow door."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from kafka import KafkaProducer

from benchmarks.figures import Contender, Leg, Report, cpu_s, peak_mib, ratios, rotated, spread
from benchmarks.outbox_rows import rows
from benchmarks.stage import ROOT, Stage
from infra.kafka.choice import bootstrap as running_kafka
from infra.sandbox.launch import new_webhook_secret
from infra.servers.ports import free_port, wait_for_http
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.events.incoming import kafka_record
from shared_lib.workers import topics

LEG_TIMEOUT_S: Final = 300.0
SLOW_MS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 5
    events: int = 10_000
    only: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Way:
    title: str
    door_ms: int = 0
    share: float = 1.0  # of the events: slow ways get fewer


WAYS: Final = {
    "ours": Way("the trigger, one process"),
    "a": Way("one record, one POST, the batch committed", share=0.3),
    "k": Way("the same, 12 partitions at once (an ordered KafkaSource's way)", share=0.5),
    "b": Way("a bare consumer: poll and count, no HTTP"),
    "ours slow": Way(f"the trigger, the door takes {SLOW_MS} ms", SLOW_MS, 0.5),
    "a slow": Way(f"one after the other, the door takes {SLOW_MS} ms", SLOW_MS, 0.03),
    "k slow": Way(f"12 partitions at once, the door takes {SLOW_MS} ms", SLOW_MS, 0.3),
}


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    """Every contender in every round, another one first each time, all on the same records."""
    names = [name for name in WAYS if not options.only or name in options.only]
    contenders = {name: Contender(name, WAYS[name].title) for name in names}
    with running_kafka() as bootstrap:
        bench = Bench(stage, bootstrap, options.events)
        for n in range(options.rounds):
            for name in rotated(names, n):
                leg = bench.run(name, contenders[name])
                contenders[name].legs.append(leg)
                say(f"round {n + 1} {name}: {leg.per_s:,.0f}/s")
    return Report(
        title=f"Kafka to a door, {options.rounds} rounds of {options.events:,} events",
        unit="events/s",
        contenders=list(contenders.values()),
        baseline="a" if "a" in names else None,
        notes=[*_slow(contenders), "The door heard every event of a leg (checked)."],
    )


def _slow(contenders: dict[str, Contender]) -> list[str]:
    if not {"ours slow", "k slow"} <= contenders.keys():
        return []
    found = ratios(contenders["ours slow"], contenders["k slow"], lambda leg: leg.per_s)
    return [f"With the slow door, ours to k of the same round: {spread(found)} times."]


class Bench:
    """Runs one leg of one contender, in a consumer group of its own."""

    def __init__(self, stage: Stage, bootstrap: str, events: int) -> None:
        self._stage, self._bootstrap, self._events = stage, bootstrap, events
        self._topics: dict[int, str] = {}

    def run(self, name: str, contender: Contender) -> Leg:
        way, group = WAYS[name], f"bench-{uuid.uuid4().hex[:8]}"
        count = max(10, int(self._events * way.share))
        topic = self._filled(count)
        if name == "b":
            argv = [sys.executable, "-m", "benchmarks.controls.bare_consumer", self._bootstrap, topic, group]
            done = subprocess.run(
                [*argv, str(count)], cwd=ROOT, capture_output=True, check=True, timeout=LEG_TIMEOUT_S
            )
            measured = json.loads(done.stdout)
            return Leg(per_s=measured["per_s"], cpu_us=measured["cpu_us"], count=count)
        with self._door(way.door_ms) as door:
            if name.startswith("ours"):
                settings = {
                    "BOXOFFICE_KAFKA_BOOTSTRAP": self._bootstrap,
                    "BOXOFFICE_TRIGGER_TOPICS": topic,
                    "BOXOFFICE_TRIGGER_GROUP": group,
                    "BOXOFFICE_TRIGGER_PORT": "0",
                    "BOXOFFICE_EVENT_SECRETS": new_webhook_secret(),
                    "BOXOFFICE_EVENT_ROUTES": json.dumps({"billing.": door}),
                }
                process = self._stage.spawn(group, "-m", "shared_lib.workers.trigger", env=settings)
            else:
                module = "benchmarks.controls.serial_trigger"
                argv = ["-m", module, self._bootstrap, topic, group, door + EVENTS_PATH]
                process = self._stage.spawn(group, *argv, *(["--lanes"] if name.startswith("k") else []))
            try:
                return self._heard(door, count, process, contender, group)
            finally:
                process.terminate()
                process.wait(timeout=30)

    def _heard(
        self, door: str, count: int, process: subprocess.Popen[bytes], contender: Contender, log: str
    ) -> Leg:
        """From the first event to the last; processor time without that of the start."""
        deadline, used_s, began_with = time.perf_counter() + LEG_TIMEOUT_S, 0.0, 0
        while (found := httpx.get(door).json())["count"] < count:
            if process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(f"{contender.name} heard {found}:\n{self._stage.log_tail(log)}")
            if not began_with:
                used_s, began_with = cpu_s(process.pid), found["count"]
            time.sleep(0.02)
        cpu_us = 1e6 * (cpu_s(process.pid) - used_s) / (count - began_with)
        contender.peak_mib = max(contender.peak_mib or 0.0, peak_mib(process.pid))
        if found["count"] != count:
            raise RuntimeError(f"{contender.name}: {count} events, {found['count']} requests")
        return Leg(per_s=(count - 1) / found["took_s"], cpu_us=cpu_us, count=count)

    @contextmanager
    def _door(self, door_ms: int) -> Iterator[str]:
        port = free_port()
        argv = ("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
        app = "benchmarks.controls.counting_door:app"
        process = self._stage.spawn(
            f"door-{port}",
            "-m",
            "uvicorn",
            app,
            *argv,
            "--log-level",
            "warning",
            env={"DOOR_MS": str(door_ms)},
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for_http(url)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)

    def _filled(self, count: int) -> str:
        """A topic with so many events of the relay's shape; legs that need as many share it."""
        if count in self._topics:
            return self._topics[count]
        name = self._topics[count] = f"bench-{uuid.uuid4().hex[:8]}"
        topics.create([self._bootstrap], [topics.Topic(name=name)])
        producer = KafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=10)
        for row in rows(count):
            record = kafka_record(
                event_id=row.event_id,
                kind=row.type,
                subject=row.subject,
                partition_key=row.partition_key,
                time_="2026-01-01T00:00:00Z",
                data=row.data,
                sequence=row.sequence,
                traceparent=row.traceparent,
            )
            producer.send(name, key=record.key, value=record.value, headers=record.headers)
        producer.flush(60)
        producer.close(timeout=5)
        return name
