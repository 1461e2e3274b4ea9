"""The trigger one writes first: poll, one POST after the other, commit the batch.

    python -m benchmarks.controls.serial_trigger BOOTSTRAP TOPIC GROUP DOOR [--lanes]

With --lanes the partitions of a batch are worked on at the same time, each in order: what an ordered KafkaSource does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httpx
from kafka import KafkaConsumer

from shared_lib.workers.trigger.envelope import Record, envelope


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

        async def deliver(records: list[Any]) -> None:
            for each in records:
                event = envelope(
                    Record(each.topic, each.partition, each.offset, 0, each.key, each.value, each.headers)
                )
                answer = await http.post(door, content=event.body, headers=event.headers)
                answer.raise_for_status()

        while True:
            found = await asyncio.to_thread(consumer.poll, 500)
            if lanes:
                await asyncio.gather(*map(deliver, found.values()))
            else:
                for records in found.values():
                    await deliver(records)
            if found:
                await asyncio.to_thread(consumer.commit)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], lanes="--lanes" in sys.argv))
