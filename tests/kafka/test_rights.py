"""Production's Kafka users: what k8s/overlays/production/kafka/users.yaml lets each do is enough for its process, and no more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # as in tests/compose
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from infra.kafka.broker import EmbeddedKafka
from infra.kubernetes.generate import ROOT
from shared_lib.billing.events import FACTS, JOBS
from shared_lib.cli.main import main
from shared_lib.contract.events import DEAD_LETTERS, PLAYBACK
from shared_lib.settings import Settings
from shared_lib.store.outbox import OutboxRow
from shared_lib.workers import topics
from shared_lib.workers.kafka_client import opened as client
from shared_lib.workers.kafka_client import servers
from shared_lib.workers.kafka_stream import Stream
from shared_lib.workers.trigger.delivery import DoorClient
from shared_lib.workers.trigger.letters import DeadLetters
from shared_lib.workers.trigger.member import Group
from shared_lib.workers.trigger.trigger import Limits, Trigger
from tests.kafka.records import all_records, header
from tests.kit.doors import SIGNER, DoorRequest, RecordingDoor, event_headers, opened
from tests.kit.kafka import QUICK, guarded_broker, kafka_access
from tests.kit.waiting import PATIENCE_S, until

pytestmark = pytest.mark.kafka

FILES = (ROOT / "k8s/overlays/production/kafka/users.yaml", ROOT / "k8s/components/kafka-source/users.yaml")
USERS: dict[str, Any] = {
    one["metadata"]["name"]: one["spec"]["authorization"]["acls"]
    for file in FILES
    for one in yaml.safe_load_all(file.read_text())
}
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}
GROUP = Settings.model_fields["trigger_group"].default


def acls() -> Iterator[ACL]:
    """As Strimzi's user operator makes them: its authorizer `simple` is Kafka's own."""
    for user, entries in USERS.items():
        for entry in entries:
            resource = entry["resource"]
            kind = ResourceType[resource["type"].upper()]
            name = resource.get("name", "kafka-cluster")
            pattern = ResourcePattern(kind, name, PATTERNS[resource.get("patternType", "literal")])
            for operation in entry["operations"]:
                named = ACLOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()]
                yield ACL(f"User:{user}", "*", named, ACLPermissionType.ALLOW, pattern)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def guarded(authorities: Path) -> Iterator[EmbeddedKafka]:
    """A broker that allows nothing without an ACL, except through its plain listener, which is this test's operator."""
    passwords = {user: f"of-{user}" for user in USERS}
    rules = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with guarded_broker(authorities, passwords, **rules) as broker:
        topics.create([broker.bootstrap])
        with closing(KafkaAdminClient(bootstrap_servers=[broker.bootstrap])) as admin:
            admin.create_acls(list(acls()))
        yield broker


class Be:
    """`be(user)` makes this process that user of Kafka; a client stays the user that this process was when it was made."""

    def __init__(self, broker: EmbeddedKafka, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bootstrap = [broker.guarded_bootstrap]
        self._folder, self._set = folder, monkeypatch.setenv

    def __call__(self, user: str) -> list[str]:
        for name, value in kafka_access(self._folder, user, f"of-{user}").items():
            self._set(name, value)
        return self.bootstrap


@pytest.fixture
def be(guarded: EmbeddedKafka, authorities: Path, monkeypatch: pytest.MonkeyPatch) -> Be:
    return Be(guarded, authorities, monkeypatch)


def written(bootstrap: list[str], topic: str) -> bool:
    """Whether this user may write there."""
    with closing(
        client(KafkaProducer, **servers(bootstrap), enable_idempotence=False, max_block_ms=10_000)
    ) as producer:
        try:
            producer.send(topic, b"{}").get(PATIENCE_S)
        except TopicAuthorizationFailedError:
            return False
        return True


def read(bootstrap: list[str], topic: str, group: str = GROUP) -> bool:
    """Whether this user may read it in that group."""
    with closing(
        client(KafkaConsumer, **servers(bootstrap), group_id=group, enable_auto_commit=False)
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        try:
            consumer.committed(TopicPartition(topic, 0))
            consumer.seek_to_beginning()
            consumer.poll(2_000)
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError):
            return False
        return True


EVERY = (FACTS, JOBS, PLAYBACK, DEAD_LETTERS)
WRITERS = {
    "kafka-relay": {FACTS, JOBS},
    "kafka-trigger": {DEAD_LETTERS},
    "kafka-cli": set(EVERY),
    "cinema-playback": {PLAYBACK},
    "kafka-source": set(),
    "kafka-dead-letters": {DEAD_LETTERS},
}
READERS = {
    "kafka-relay": set(),
    "kafka-trigger": {FACTS, JOBS, PLAYBACK},
    "cinema-playback": set(),
    "kafka-dead-letters": set(),
}


@pytest.mark.parametrize("user", sorted(USERS))
def test_each_user_writes_to_its_topics_alone(be: Be, user: str) -> None:
    bootstrap = be(user)
    assert {topic for topic in EVERY if written(bootstrap, topic)} == WRITERS[user]


@pytest.mark.parametrize("user", sorted(READERS))
def test_each_user_reads_its_topics_alone(be: Be, user: str) -> None:
    bootstrap = be(user)
    assert {topic for topic in EVERY if read(bootstrap, topic)} == READERS[user]


def test_knatives_sources_read_in_groups_of_their_own(be: Be) -> None:
    bootstrap = be("kafka-source")
    assert {topic for topic in EVERY if read(bootstrap, topic, "boxoffice-notify")} == {FACTS, PLAYBACK}
    assert not read(bootstrap, FACTS, GROUP)


def test_the_relay_may_do_all_that_it_does(be: Be, guarded: EmbeddedKafka) -> None:
    stream = Stream(be("kafka-relay"))
    try:
        rows = [
            OutboxRow(
                n,
                f"evt_rights_{n}",
                topic,
                "billing.order.paid",
                "ord_1",
                n,
                "ann",
                "{}",
                None,
                datetime.now(UTC),
            )
            for n, topic in enumerate((FACTS, JOBS))
        ]
        assert stream.wait(stream.send(rows), PATIENCE_S).acknowledged == [0, 1]
    finally:
        stream.close()
    for n, topic in enumerate((FACTS, JOBS)):
        ids = [header(one, "ce_id") for one in all_records(guarded.bootstrap, topic) if one.headers]
        assert f"evt_rights_{n}" in ids


async def test_the_trigger_and_the_command_line_may_do_all_that_they_do(
    be: Be,
    guarded: EmbeddedKafka,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for topic, kind in ((FACTS, "billing.good.fact"), (JOBS, "billing.poison"), (PLAYBACK, "cinema.good")):
        with closing(KafkaProducer(bootstrap_servers=[guarded.bootstrap])) as producer:
            headers = event_headers(f"evt_{kind}", kind)
            producer.send(topic, json.dumps({"n": 1}).encode(), key=b"ann", headers=headers).get(PATIENCE_S)

    async def answer(heard: DoorRequest) -> int:
        return 422 if heard.headers["ce-type"] == "billing.poison" else 200

    door, stop = RecordingDoor(answer), asyncio.Event()
    bootstrap = be("kafka-trigger")
    async with opened(door) as url:
        doors = DoorClient(QUICK, SIGNER, requests_max=4)
        letters = DeadLetters(bootstrap, DEAD_LETTERS)
        group = Group(bootstrap=bootstrap, topics=[FACTS, JOBS, PLAYBACK], name=GROUP)
        trigger = Trigger(
            group, {"billing.": url, "cinema.": url}, doors, letters, Limits(commit_every_s=0.1)
        )
        running = asyncio.create_task(trigger.run(stop))
        try:
            wanted = {"billing.good.fact", "billing.poison", "cinema.good"}
            await until(lambda: wanted <= {heard.headers["ce-type"] for heard in door.heard})
            monkeypatch.setenv("BOXOFFICE_DATABASE_URL", database_url)
            monkeypatch.setenv("BOXOFFICE_KAFKA_BOOTSTRAP", bootstrap[0])

            async def says(*words: str) -> str:
                """What the command prints to a person, who is another user than the trigger."""
                capsys.readouterr()
                await asyncio.to_thread(main, words)
                told = capsys.readouterr()
                assert not told.err, told.err
                return told.out

            async def died() -> bool:
                records = await asyncio.to_thread(all_records, guarded.bootstrap, DEAD_LETTERS)
                return any(dict(one.headers).get("ce_type") == b"billing.poison" for one in records)

            await until(died)
            be("kafka-cli")
            assert f"group {GROUP}: 1 members" in await says("lag")
            (id_,) = re.findall(
                rf"^({DEAD_LETTERS}/0/\d+) .* billing.poison ",
                await says("dead-letters", "list"),
                re.MULTILINE,
            )
            assert "1 produced again" in await says("dead-letters", "replay", id_)
        finally:
            stop.set()
            await running
            await letters.aclose()
            await doors.aclose()
