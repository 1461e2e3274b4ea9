"""The trigger one writes first: poll, one POST after the other, commit the batch.

    python -m benchmarks.controls.serial_trigger BOOTSTRAP TOPIC GROUP DOOR [--lanes]

With --lanes each partition has a queue that is worked off in order, all of them at once: an ordered KafkaSource's way.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import httpx
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from shared_lib.workers.trigger.envelope import Record, envelope

QUEUED_MAX: Final = 5_000


async def main(bootstrap: str, topic: str, group: str, door: str, *, lanes: bool) -> None:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=500,
    )
    async with httpx.AsyncClient() as http:

        async def deliver(each: Any) -> None:
            record = Record(each.topic, each.partition, each.offset, 0, each.key, each.value, each.headers)
            event = envelope(record)
            answer = await http.post(door, content=event.body, headers=event.headers)
            answer.raise_for_status()

        await (by_partition(consumer, deliver) if lanes else one_by_one(consumer, deliver))


async def one_by_one(consumer: KafkaConsumer, deliver: Any) -> None:
    while True:
        found = await asyncio.to_thread(consumer.poll, 500)
        for records in found.values():
            for each in records:
                await deliver(each)
        if found:
            await asyncio.to_thread(consumer.commit)


async def by_partition(consumer: KafkaConsumer, deliver: Any) -> None:
    queues: dict[TopicPartition, asyncio.Queue[Any]] = {}
    done: dict[TopicPartition, OffsetAndMetadata] = {}
    workers = []

    async def work(place: TopicPartition, queue: asyncio.Queue[Any]) -> None:
        while True:
            each = await queue.get()
            await deliver(each)
            done[place] = OffsetAndMetadata(each.offset + 1, "", -1)

    while True:
        if sum(queue.qsize() for queue in queues.values()) < QUEUED_MAX:
            for place, records in (await asyncio.to_thread(consumer.poll, 200)).items():
                if place not in queues:
                    queues[place] = asyncio.Queue()
                    workers.append(asyncio.create_task(work(place, queues[place])))
                for each in records:
                    queues[place].put_nowait(each)
        else:
            await asyncio.sleep(0.2)
        if done:
            await asyncio.to_thread(consumer.commit, dict(done))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], lanes="--lanes" in sys.argv))
