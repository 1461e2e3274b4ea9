"""Topics of one test on the real broker, doors that remember, and triggers between them."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import uvicorn
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import RetriableError
from starlette.types import Receive, Scope, Send

from infra.sandbox.launch import new_webhook_secret
from infra.servers.ports import free_port
from shared_lib.events.proof import EventSigner
from shared_lib.workers.topics import Topic, create
from shared_lib.workers.trigger.delivery import DoorClient, Patience
from shared_lib.workers.trigger.envelope import Record
from shared_lib.workers.trigger.letters import DeadLetters, Letter, read_letter
from shared_lib.workers.trigger.member import Group
from shared_lib.workers.trigger.trigger import Limits, Trigger
from tests.kit.waiting import PATIENCE_S

SECRET = new_webhook_secret()
SIGNER = EventSigner([SECRET], partial(datetime.now, UTC))
QUICK = Patience(budget_s=25.0, first_s=0.05, most_s=0.1)
SHORT = Patience(budget_s=1.5, first_s=0.05, most_s=0.1)


@dataclass(frozen=True, slots=True)
class Heard:
    """One request that a door was sent."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("ce-id", "")

    @property
    def key(self) -> str:
        return self.headers.get("ce-partitionkey", "")

    @property
    def n(self) -> int:
        return int(json.loads(self.body)["n"])


Answer = Callable[[Heard], Awaitable[int]]


async def _ok(_: Heard) -> int:
    return 200


@dataclass
class Door:
    """An ASGI application that remembers whatever it was sent, and answers as it is told."""

    answer: Answer = _ok
    said: dict[str, str] = field(default_factory=dict)  # headers of its answers
    body: bytes = b""
    heard: list[Heard] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":  # whoever sent it was killed
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        one = Heard({name.decode(): value.decode() for name, value in scope["headers"]}, body)
        self.heard.append(one)
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            status = await self.answer(one)
        finally:
            self.open_now -= 1
        headers = {"content-length": str(len(self.body))} | self.said
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": self.body})

    def order(self) -> dict[str, list[int]]:
        """The numbers each customer's events came with, in the order they came."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.heard:
            found[one.key].append(one.n)
        return dict(found)


def event_headers(event_id: str, kind: str = "billing.order.paid") -> list[tuple[str, bytes]]:
    """What the relay writes beside the data."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "/boxoffice",
        "ce_type": kind,
        "ce_subject": "ord_1",
        "ce_time": "2031-01-01T00:00:00Z",
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


class Street:
    """A topic, its dead letters and its consumer group, of this test only."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.bootstrap = [bootstrap]
        self.topic = f"test-{uuid.uuid4().hex[:8]}"
        self.dead = f"{self.topic}.dead"
        self.group = f"group-{self.topic}"
        self.partitions = partitions
        create(self.bootstrap, [Topic(name=self.topic, partitions=partitions)])
        self._producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)

    def open_dead_letters(self) -> None:
        create(self.bootstrap, [Topic(name=self.dead, partitions=1)])

    def send(
        self,
        key: str | None,
        n: int = 1,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
        value: bytes | None = None,
        kind: str = "billing.order.paid",
        event_id: str | None = None,
    ) -> None:
        """Produce one event; `headers` or `value` make it something else."""
        self._producer.send(
            self.topic,
            key=key.encode() if key is not None else None,
            value=json.dumps({"n": n}).encode() if value is None else value,
            headers=event_headers(event_id or f"evt_{key}_{n}", kind) if headers is None else list(headers),
        )

    async def sent(self) -> None:
        await asyncio.to_thread(self._producer.flush, 20)

    async def committed(self) -> int:
        """How many records the group has done, by its committed offsets."""
        return await asyncio.to_thread(self._committed)

    def _committed(self) -> int:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            offsets = self._offsets(admin)
            return sum(
                max(0, at.offset) for partition, at in offsets.items() if partition.topic == self.topic
            )
        finally:
            admin.close()

    def _offsets(self, admin: KafkaAdminClient) -> Any:
        """A broker that has just come back finds its coordinators a little later."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return admin.list_group_offsets([self.group])[self.group]
            except RetriableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    async def letters(self) -> list[Letter]:
        return [one for one in await asyncio.to_thread(self._letters) if isinstance(one, Letter)]

    def _letters(self) -> list[Letter | int]:
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        try:
            place = TopicPartition(self.dead, 0)
            consumer.assign([place])
            end = consumer.end_offsets([place])[place]
            found: list[Letter | int] = []
            while consumer.position(place) < end:
                found += [_read(each) for each in consumer.poll(timeout_ms=500).get(place, [])]
            return found
        finally:
            consumer.close()

    @asynccontextmanager
    async def triggered(
        self,
        routes: dict[str, str],
        *,
        patience: Patience = QUICK,
        limits: Limits | None = None,
        instance: str = "",
    ) -> AsyncIterator[Trigger]:
        """A trigger in this loop. Leaving the block stops it gracefully."""
        limits = limits or Limits(commit_every_s=0.1)
        doors = DoorClient(patience, SIGNER, requests_max=limits.requests_max)
        letters = DeadLetters(self.bootstrap, self.dead, blocked_max_s=0.5)
        group = Group(bootstrap=self.bootstrap, topics=[self.topic], name=self.group, instance=instance)
        stop = asyncio.Event()
        trigger = Trigger(group, routes, doors, letters, limits)
        running = asyncio.create_task(trigger.run(stop))
        try:
            yield trigger
        finally:
            stop.set()
            await running
            await letters.aclose()
            await doors.aclose()

    def close(self) -> None:
        self._producer.close(timeout=1)


def _read(each: Any) -> Letter | int:
    return read_letter(
        Record(each.topic, each.partition, each.offset, each.timestamp, each.key, each.value, each.headers)
    )


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[str]:
    """A real HTTP server around a door. One that still makes somebody wait at the end is not waited for."""
    port = free_port()
    config = uvicorn.Config(
        door, host="127.0.0.1", port=port, lifespan="off", log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S
) -> None:
    """Wait for something to become true, and fail when it does not."""
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.02)
