"""What ends a lane, and what must not: a lane without a task would hold its partition's commit back in silence."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from shared_lib.events.proof import EventSigner
from tests.kit.doors import SECRET, DoorRequest, RecordingDoor, opened
from tests.kit.kafka import OwnTopic
from tests.kit.tasks import Planted
from tests.kit.waiting import until

pytestmark = pytest.mark.kafka


async def answer(_: DoorRequest) -> int:
    return 200


async def test_an_event_whose_type_no_header_can_carry_is_a_dead_letter_and_holds_no_lane(
    own_topic: OwnTopic,
) -> None:
    door = RecordingDoor(answer)
    value = b'{"specversion": "1.0", "id": "\\ud800", "source": "s", "type": "billing.\\ud800"}'
    async with opened(door) as url, own_topic.triggered({"billing.order.": url}):
        own_topic.send("ann", headers=[("content-type", b"application/cloudevents+json")], value=value)
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 1)
    (letter,) = await own_topic.letters()
    assert letter.headers["dead_reason"] == "no door takes billing.\\ud800"


async def test_a_lane_that_dies_ends_the_trigger_and_the_next_one_delivers_its_records(
    own_topic: OwnTopic,
) -> None:
    def no_clock() -> datetime:
        raise Planted

    def ended() -> bool:
        return all(task.get_name() != "trigger" for task in asyncio.all_tasks())

    door = RecordingDoor(answer)

    async def lane_dies() -> None:
        async with own_topic.triggered({"billing.": url}, signer=EventSigner([SECRET], no_clock)):
            own_topic.send("ann")
            await until(ended)

    async with opened(door) as url:
        with pytest.raises(RuntimeError, match="a lane died"):
            await lane_dies()
        assert not door.heard
        async with own_topic.triggered({"billing.": url}):
            await until(lambda: len(door.heard) == 1)
