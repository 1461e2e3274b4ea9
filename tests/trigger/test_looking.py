"""What an operator sees of the triggers, and sending dead letters again."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import closing

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from shared_lib.billing.events import FACTS, JOBS
from shared_lib.contract.events import DEAD_LETTERS, PLAYBACK
from shared_lib.workers.topics import TOPICS, create
from tests.kit.command import Capture, Run
from tests.kit.doors import DoorRequest, RecordingDoor, event_headers, opened
from tests.kit.kafka import OwnTopic
from tests.kit.waiting import until
from tests.trigger.conftest import NewOwnTopic

pytestmark = pytest.mark.kafka


@pytest.fixture
def operator(
    kafka: str, own_topic: OwnTopic, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> Run:
    own_topic.dead = DEAD_LETTERS  # what the command line reads; letters of other tests may stand there
    for name, value in {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP": kafka,
        "TRIGGER_GROUP": own_topic.group,
        "TRIGGER_TOPICS": own_topic.name,
    }.items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    return Run(capsys)


def ids_of(listed: str, kind: str) -> list[str]:
    return re.findall(rf"^({DEAD_LETTERS}/0/\d+) .* {kind} ", listed, re.MULTILINE)


async def test_a_poison_event_is_seen_read_and_delivered_after_the_fix(
    own_topic: OwnTopic, operator: Run
) -> None:
    kind = f"billing.poison.{own_topic.group[-6:]}"
    mended = False

    async def answer(heard: DoorRequest) -> int:
        return 200 if mended or heard.headers["ce-type"] != kind else 422

    door = RecordingDoor(answer)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", 1, kind=kind, value=b'{"n": 1, "title": "Nosferatu"}')
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 2)
        (id_,) = ids_of(await operator("dead-letters", "list"), kind)
        shown = await operator("dead-letters", "show", id_)
        for words in (kind, "evt_ann_1", own_topic.name, "answered 422", '"title": "Nosferatu"', "for ann"):
            assert words in shown, shown
        assert "1 produced again" in await operator("dead-letters", "replay", id_)
        await until(lambda: len(door.heard) == 3)
        (id_,) = ids_of(
            await operator("dead-letters", "list"), kind
        )  # it died again: the cause was not mended
        mended = True
        await operator("dead-letters", "replay", id_)
        await until(lambda: len(door.heard) == 4)
        assert ids_of(await operator("dead-letters", "list"), kind) == []
    last = door.heard[-1]
    assert (last.id, last.key, last.body) == ("evt_ann_1", "ann", b'{"n": 1, "title": "Nosferatu"}')
    assert not any("knative" in name or name.startswith("ce-dead") for name in last.headers)
    await operator("dead-letters", "replay", id_, status=2)
    await operator("dead-letters", "show", id_, status=2)


async def test_all_of_both_stores_are_sent_again(own_topic: OwnTopic, operator: Run) -> None:
    kind = f"billing.poison.{own_topic.group[-6:]}"
    async with own_topic.triggered({"nothing.": "http://127.0.0.1:1"}):
        for n in range(3):
            own_topic.send("ann", n, kind=kind)

        async def all_dead() -> bool:
            return len(ids_of(await operator("dead-letters", "list"), kind)) == 3

        await until(all_dead)
    said = await operator("dead-letters", "replay", "--all")
    assert "0 put back into the outbox" in said
    assert "produced again" in said
    assert await operator("dead-letters", "list") == "No dead letters.\n"


def knative(kind: str, event_id: str, **more: bytes) -> list[tuple[str, bytes]]:
    """The headers that a KafkaSource and the KafkaSink behind it write: no key, and nothing of where the record stood."""
    error = base64.b64encode(b'{"code":"unavailable"}')
    left = {
        "ce_knativeerrordest": b"http://notify.boxoffice.svc.cluster.local/events",
        "ce_knativeerrorcode": b"503",
        "ce_knativeerrordata": error,
    }
    return [*event_headers(event_id, kind), *(left | more).items()]


async def test_letters_of_a_kafkasource_go_back_to_their_topic_under_their_customer(
    own_topic: OwnTopic, operator: Run
) -> None:
    mark = own_topic.group[-6:]
    kinds = {f"billing.poison.{mark}": FACTS, f"billing.job.{mark}": JOBS, f"cinema.{mark}": PLAYBACK}
    create(own_topic.bootstrap, TOPICS)
    with closing(KafkaProducer(bootstrap_servers=own_topic.bootstrap)) as sink:
        for n, kind in enumerate(kinds):
            letter = json.dumps({"customer_id": f"ann-{mark}", "n": n}).encode()
            sink.send(DEAD_LETTERS, value=letter, headers=knative(kind, f"evt_{n}_{mark}")).get(10)
    listed = await operator("dead-letters", "list")
    for kind, topic in kinds.items():
        (id_,) = ids_of(listed, kind)
        shown = await operator("dead-letters", "show", id_)
        for words in (f"of {topic} for ann-{mark}", 'answered 503: {"code":"unavailable"}'):
            assert words in shown, shown
        assert "1 produced again" in await operator("dead-letters", "replay", id_)
        assert await again(own_topic, topic, mark) == [(f"ann-{mark}".encode(), kind.encode())]
    listed = await operator("dead-letters", "list")
    assert [ids_of(listed, kind) for kind in kinds] == [[], [], []]


async def test_a_kafkasource_that_fails_again_is_seen_again(own_topic: OwnTopic, operator: Run) -> None:
    kind = f"billing.poison.{own_topic.group[-6:]}"
    create(own_topic.bootstrap, TOPICS)
    for _ in range(2):
        with closing(KafkaProducer(bootstrap_servers=own_topic.bootstrap)) as sink:
            sink.send(DEAD_LETTERS, value=b"{}", headers=knative(kind, "evt_same")).get(10)
        (id_,) = ids_of(await operator("dead-letters", "list"), kind)
        await operator("dead-letters", "replay", id_)


async def again(own_topic: OwnTopic, topic: str, mark: str) -> list[tuple[bytes | None, bytes]]:
    """Key and type of this test's records in a topic."""
    return await asyncio.to_thread(_again, own_topic.bootstrap, topic, mark)


def _again(bootstrap: list[str], topic: str, mark: str) -> list[tuple[bytes | None, bytes]]:
    with closing(
        KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    ) as consumer:
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        ends, found = consumer.end_offsets(places), []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                found += [(one.key, dict(one.headers)) for one in records]
    mine = [(key, headers) for key, headers in found if headers.get("ce_type", b"").decode().endswith(mark)]
    assert not any(name.startswith("ce_kn") for _, headers in mine for name in headers)
    return [(key, headers["ce_type"]) for key, headers in mine]


async def test_lag_is_told_and_nobody_consuming_is_an_alarm(own_topic: OwnTopic, operator: Run) -> None:
    for n in range(3):
        own_topic.send("ann", n)
    await own_topic.sent()
    told = await operator("lag", status=1)
    assert "have no consumer" in told
    assert re.search(rf"^{own_topic.name}\s+0\s+0\s+3\s+3\s+\d+ s\s+-$", told, re.MULTILINE), told
    door = RecordingDoor()
    async with opened(door) as url, own_topic.triggered({"billing.": url}, instance="one"):

        async def done() -> bool:
            return await own_topic.committed() == 3

        await until(done)
        told = await operator("lag")
    assert re.search(rf"^{own_topic.name}\s+0\s+3\s+3\s+0\s+-\s+one$", told, re.MULTILINE), told
    assert "1 members, 0 records behind" in told


async def test_a_record_that_waits_too_long_is_an_alarm(own_topic: OwnTopic, operator: Run) -> None:
    opened_at_last = asyncio.Event()

    async def answer(_: DoorRequest) -> int:
        await opened_at_last.wait()
        return 200

    door = RecordingDoor(answer)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", 1)
        await until(lambda: len(door.heard) == 1)
        await asyncio.sleep(1.1)
        assert "0 records" not in await operator("lag")
        assert "a record waits for" in await operator("lag", "--oldest-max-s", "0", status=1)
        opened_at_last.set()


async def test_without_kafka_there_is_no_lag_but_dead_letters_are_listed(
    operator: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXOFFICE_KAFKA_BOOTSTRAP", "")
    assert await operator("dead-letters", "list") == "No dead letters.\n"
    await operator("lag", status=2)
    assert "BOXOFFICE_KAFKA_BOOTSTRAP" in operator.err


async def test_a_topic_that_is_not_there_is_said(operator: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXOFFICE_TRIGGER_TOPICS", "nothing.here")
    await operator("lag", status=2)
    assert "nothing.here" in operator.err


def test_a_letter_written_twice_is_one(new_own_topic: NewOwnTopic) -> None:
    from shared_lib.workers.trigger import letterbox  # noqa: PLC0415

    own_topic = new_own_topic()
    died = [("dead_topic", own_topic.name.encode()), ("dead_partition", b"0"), ("dead_offset", b"7")]
    for _ in range(2):
        own_topic._producer.send(own_topic.dead, value=b"x", headers=died).get(10)
    (letter,) = letterbox.waiting(own_topic.bootstrap, own_topic.dead)
    letterbox.replay(own_topic.bootstrap, [letter], own_topic.dead)
    assert letterbox.waiting(own_topic.bootstrap, own_topic.dead) == []
