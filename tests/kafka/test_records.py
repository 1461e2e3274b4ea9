"""What stands in Kafka: a binary CloudEvent under its customer's key, where Java would have put it."""

from __future__ import annotations

import json

import pytest
from cloudevents.http import CloudEvent
from cloudevents.kafka import to_binary

from shared_lib.billing.events import Event
from shared_lib.events.incoming import kafka_record
from shared_lib.runtime import Runtime
from shared_lib.workers import topics
from shared_lib.workers.kafka_relay import KafkaRelay
from tests.kafka.records import all_records, dead, facts
from tests.kit.kafka_fixtures import NewTopic
from tests.kit.outbox import empty, post, running, waiting

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# From Kafka's own tests: Utils.murmur2(key) in Java.
MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


def test_a_record_is_what_the_cloudevents_sdk_would_write() -> None:
    data = {"order_id": "ord_1", "product_title": "Žižek"}
    attributes = {
        "id": "evt_1",
        "source": "/boxoffice",
        "type": "billing.order.paid",
        "subject": "ord_1",
        "time": "2026-11-23T09:00:00Z",
        "datacontenttype": "application/json",
        "partitionkey": "ann",
        "sequence": "3",
        "traceparent": TRACE,
    }
    theirs = to_binary(CloudEvent(attributes, data))
    ours = kafka_record(
        event_id="evt_1",
        kind="billing.order.paid",
        subject="ord_1",
        partition_key="ann",
        time_="2026-11-23T09:00:00Z",
        data=json.dumps(data),
        sequence=3,
        traceparent=TRACE,
    )
    assert dict(ours.headers) == theirs.headers
    assert (ours.key.decode(), ours.value) == (theirs.key, theirs.value)


@pytest.mark.kafka
async def test_an_event_is_a_binary_cloudevent_in_the_partition_java_would_choose(
    rt: Runtime, kafka: str, new_topic: NewTopic
) -> None:
    topic = new_topic()
    events = [
        Event(
            type="billing.order.paid",
            subject=f"ord_{key}",
            sequence=7,
            partition_key=key,
            data={"title": "Žižek"},
            topic=topic,
            traceparent=TRACE,
        )
        for key in MURMUR2
    ]
    await post(
        rt, *events, Event(type="billing.job.x", subject="s", partition_key="job", data={}, topic=topic)
    )
    async with running(KafkaRelay(rt, [kafka])):
        await empty(rt)
    records = {record.key.decode(): record for record in all_records(kafka, topic)}
    for key, hashed in MURMUR2.items():
        record = records[key]
        headers = {name: value.decode() for name, value in record.headers}
        assert record.partition == (hashed & 0x7FFFFFFF) % 12
        assert json.loads(record.value) == {"title": "Žižek"}
        assert headers.pop("ce_id").startswith("evt_")
        assert headers.pop("ce_time").endswith("Z")
        assert headers == {
            "ce_specversion": "1.0",
            "ce_source": "/boxoffice",
            "ce_type": "billing.order.paid",
            "ce_subject": f"ord_{key}",
            "ce_sequence": "7",
            "ce_traceparent": TRACE,
            "content-type": "application/json",
        }
    assert {"ce_sequence", "ce_traceparent"}.isdisjoint(dict(records["job"].headers))


@pytest.mark.kafka
async def test_what_kafka_never_takes_is_a_dead_letter_and_its_neighbors_go_on(
    rt: Runtime, kafka: str, new_topic: NewTopic
) -> None:
    roomy, narrow = (
        new_topic(),
        topics.Topic(name=new_topic() + ".narrow", configs={"max.message.bytes": "100000"}),
    )
    topics.create([kafka], [narrow])

    def large(topic: str, size: int) -> Event:
        return Event(type="billing.order.paid", subject="ord_ann", sequence=2, partition_key="ann",
                     data={"n": "x" * size}, topic=topic)  # fmt: skip

    for topic, size in (
        (roomy, 1_100_000),
        (narrow.name, 200_000),
    ):  # refused by the client, refused by the broker
        await post(
            rt,
            *facts("ann", 1, topic),
            large(topic, size),
            *facts("ann", 1, topic, first=3),
            *facts("bob", 5, topic),
        )
    async with running(KafkaRelay(rt, [kafka])):
        await empty(rt)
    for topic in (roomy, narrow.name):
        told = [(record.key, record.value) for record in all_records(kafka, topic)]
        assert len(dict.fromkeys(told)) == 2 + 5, topic
    letters = await dead(rt)
    assert sorted(len(body) for _, _, body in letters) == [200_009, 1_100_009]
    assert all(customer == "ann" and "TooLarge" in reason for customer, reason, _ in letters)


@pytest.mark.kafka
async def test_events_of_a_topic_that_does_not_exist_wait_and_hold_up_no_other(
    rt: Runtime, kafka: str, new_topic: NewTopic
) -> None:
    topic, missing = new_topic(), new_topic() + ".later"
    await post(rt, *facts("ann", 3, missing), *facts("ann", 3, topic))
    async with running(relay := KafkaRelay(rt, [kafka])):
        while await waiting(rt) > 3:
            pass
        assert len(all_records(kafka, topic)) == 3
        topics.create([kafka], [topics.Topic(name=missing)])
        relay._no_topics.clear()  # instead of waiting for ten seconds
        await empty(rt)
    assert len(all_records(kafka, missing)) == 3
    assert await dead(rt) == []
