"""The producer that stops at its first failure, against a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from shared_lib.store.outbox import OutboxRow
from shared_lib.workers import topics
from shared_lib.workers.kafka_stream import Stream, StreamError
from tests.kafka.records import all_records, header
from tests.kit.kafka_fixtures import NewTopic
from tests.kit.waiting import PATIENCE_S

if TYPE_CHECKING:
    from infra.kafka.choice import OwnKafka

pytestmark = pytest.mark.kafka


def row(n: int, topic: str, *, size: int = 10, key: str = "ann") -> OutboxRow:
    data = f'"{"x" * size}"'
    return OutboxRow(
        n, f"evt_{n}", topic, "billing.order.paid", f"ord_{key}", n, key, data, None, datetime.now(UTC)
    )


@pytest.fixture
def stream(kafka: str) -> Iterator[Stream]:
    opened = Stream([kafka])
    yield opened
    opened.close()


def told(bootstrap: str, topic: str) -> list[str]:
    return [header(record, "ce_id") for record in all_records(bootstrap, topic)]


def test_after_a_failure_nothing_more_leaves_the_stream(
    stream: Stream, kafka: str, new_topic: NewTopic
) -> None:
    narrow = topics.Topic(name=new_topic() + ".narrow", configs={"max.message.bytes": "100000"})
    topics.create([kafka], [narrow])
    assert stream.wait(stream.send([row(1, narrow.name)]), PATIENCE_S).acknowledged == [1]

    # The second is refused by the broker; the third is queued behind it, as the next event of the same customer.
    flight = stream.send([row(2, narrow.name, size=200_000), row(3, narrow.name)])
    fate = stream.wait(flight, PATIENCE_S)
    assert (fate.acknowledged, list(fate.refused)) == ([], [2])
    assert isinstance(stream.stopped_by, MessageSizeTooLargeError)
    assert stream.wait(stream.send([row(4, narrow.name)]), PATIENCE_S).acknowledged == []
    time.sleep(0.5)  # long enough for a producer that went on
    assert told(kafka, narrow.name) == ["evt_1"]


def test_what_the_client_itself_refuses_stops_nothing(
    stream: Stream, kafka: str, new_topic: NewTopic
) -> None:
    topic = new_topic()
    fate = stream.wait(stream.send([row(1, topic), row(2, topic, size=2_000_000), row(3, topic)]), PATIENCE_S)
    assert (fate.acknowledged, list(fate.refused), fate.error) == ([1, 3], [2], None)
    assert stream.stopped_by is None
    assert told(kafka, topic) == ["evt_1", "evt_3"]


def test_a_broker_that_is_not_there_is_an_error() -> None:
    with pytest.raises(StreamError):
        Stream(["127.0.0.1:9"])


@pytest.mark.slow
async def test_a_broker_that_stays_away_stops_the_stream_and_what_it_held_is_not_called_acknowledged(
    own_kafka: OwnKafka, new_topic: NewTopic
) -> None:
    topic = new_topic(bootstrap=own_kafka.bootstrap)
    stream = await asyncio.to_thread(Stream, [own_kafka.bootstrap])
    try:
        first = await asyncio.to_thread(stream.send, [row(1, topic)])
        assert (await asyncio.to_thread(stream.wait, first, PATIENCE_S)).acknowledged == [1]
        await asyncio.to_thread(own_kafka.kill)
        held = await asyncio.to_thread(stream.send, [row(n, topic) for n in range(2, 50)])
        fate = await asyncio.to_thread(stream.wait, held, 1.0)
        assert fate.acknowledged == []
        assert isinstance(fate.error, KafkaTimeoutError)
        assert stream.stopped_by is not None
    finally:
        await asyncio.to_thread(stream.close)
        await asyncio.to_thread(own_kafka.start)
    await asyncio.sleep(0.5)
    assert told(own_kafka.bootstrap, topic) == ["evt_1"]
