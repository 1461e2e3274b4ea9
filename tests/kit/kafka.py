"""Kafka for tests: a topic with a trigger, and a broker that asks for TLS and a password."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import RetriableError

from infra.kafka.broker import EmbeddedKafka
from infra.kafka.jars import NoKafkaError, classpath
from shared_lib.events.proof import EventSigner
from shared_lib.workers.topics import Topic, create
from shared_lib.workers.trigger.delivery import DoorClient, Patience
from shared_lib.workers.trigger.envelope import Record
from shared_lib.workers.trigger.letters import DeadLetters, Letter, read_letter
from shared_lib.workers.trigger.member import Group
from shared_lib.workers.trigger.trigger import Limits, Trigger
from tests.kit.doors import SIGNER, event_headers
from tests.kit.tls import authority, server_pair
from tests.kit.waiting import PATIENCE_S

QUICK = Patience(budget_s=25.0, first_s=0.05, most_s=0.1)
SHORT = Patience(budget_s=1.5, first_s=0.05, most_s=0.1)
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


class OwnTopic:
    """A topic, its dead letters and its consumer group, of this test only."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.bootstrap = [bootstrap]
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.dead = f"{self.name}.dead"
        self.group = f"group-{self.name}"
        self.partitions = partitions
        create(self.bootstrap, [Topic(name=self.name, partitions=partitions)])
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
            self.name,
            key=key.encode() if key is not None else None,
            value=json.dumps({"n": n}).encode() if value is None else value,
            headers=event_headers(event_id or f"evt_{key}_{n}", kind) if headers is None else list(headers),
        )

    async def sent(self) -> None:
        await asyncio.to_thread(self._producer.flush, 20)

    async def committed(self) -> int:
        """How many records the group has committed."""
        return await asyncio.to_thread(self._committed)

    def _committed(self) -> int:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            offsets = self._offsets(admin)
            return sum(max(0, at.offset) for partition, at in offsets.items() if partition.topic == self.name)
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
        signer: EventSigner = SIGNER,
    ) -> AsyncIterator[Trigger]:
        """A trigger in this loop. Leaving the block stops it gracefully."""
        limits = limits or Limits(commit_every_s=0.1)
        doors = DoorClient(patience, signer, requests_max=limits.requests_max)
        letters = DeadLetters(self.bootstrap, self.dead, blocked_max_s=0.5)
        group = Group(bootstrap=self.bootstrap, topics=[self.name], name=self.group, instance=instance)
        stop = asyncio.Event()
        trigger = Trigger(group, routes, doors, letters, limits)
        running = asyncio.create_task(trigger.run(stop), name="trigger")
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


def guarded_broker(folder: Path, passwords: Mapping[str, str], **properties: str) -> EmbeddedKafka:
    """A broker, not started, whose second listener wants TLS and the password of a user: user -> password.

    Writes the authority that signed its certificate to `root.crt` in `folder`. The test is skipped where Kafka is missing.
    """
    try:
        classpath()
    except NoKafkaError as missing:
        pytest.skip(str(missing))
    signer = authority()
    signer.pem(folder / "root.crt")
    cert, key = server_pair(signer, folder, "127.0.0.1")
    (folder / "server.pem").write_bytes(key.read_bytes() + cert.read_bytes())
    users = " ".join(f'user_{user}="{password}"' for user, password in passwords.items())
    return EmbeddedKafka(
        guarded={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "server.pem"),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{LOGIN} required {users};",
            **properties,
        }
    )


def kafka_access(folder: Path, user: str, password: str) -> dict[str, str]:
    """The environment of a process that is `user` at the broker of `guarded_broker`."""
    return {
        "BOXOFFICE_KAFKA_SECURITY": "SASL_SSL",
        "BOXOFFICE_KAFKA_CA_FILE": str(folder / "root.crt"),
        "BOXOFFICE_KAFKA_SASL_MECHANISM": "PLAIN",
        "BOXOFFICE_KAFKA_USERNAME": user,
        "BOXOFFICE_KAFKA_PASSWORD": password,
    }
