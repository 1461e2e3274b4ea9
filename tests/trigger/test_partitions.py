"""Lanes, commits, and partitions that come and go."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack

import pytest

from shared_lib.workers.topics import Topic, create
from shared_lib.workers.trigger.delivery import Patience
from shared_lib.workers.trigger.member import Group, Member, Partition
from shared_lib.workers.trigger.trigger import Limits
from tests.kit.doors import DoorRequest, RecordingDoor, event_headers, opened
from tests.kit.kafka import OwnTopic
from tests.kit.waiting import PATIENCE_S, until
from tests.trigger.conftest import NewOwnTopic

pytestmark = pytest.mark.kafka

COMMIT_S = 0.1


class Gate:
    """A door's answer that waits for some events until it is opened."""

    def __init__(self, *ids: str, status: int = 200) -> None:
        self._ids = ids
        self._status = status
        self.open = asyncio.Event()

    async def __call__(self, heard: DoorRequest) -> int:
        if heard.id in self._ids:
            await self.open.wait()
            return self._status
        return 200


async def test_one_slow_customer_does_not_delay_the_others_of_the_partition(own_topic: OwnTopic) -> None:
    gate = Gate("evt_ann_1")
    door = RecordingDoor(gate)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        for n in (1, 2, 3):
            for key in ("ann", "bob", "cid"):
                own_topic.send(key, n)
        await until(lambda: len(door.heard) == 7)
        assert door.order() == {"ann": [1], "bob": [1, 2, 3], "cid": [1, 2, 3]}
        gate.open.set()
        await until(lambda: len(door.heard) == 9)
    assert door.order()["ann"] == [1, 2, 3]


async def test_what_is_not_done_is_not_committed_although_later_records_are(own_topic: OwnTopic) -> None:
    gate = Gate("evt_bob_1")
    door = RecordingDoor(gate)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        for key in ("ann", "bob", "cid"):
            own_topic.send(key, 1)
        await until(lambda: len(door.heard) == 3)
        await asyncio.sleep(5 * COMMIT_S)
        assert await own_topic.committed() == 1
        gate.open.set()

        async def all_committed() -> bool:
            return await own_topic.committed() == 3

        await until(all_committed)


async def test_records_without_a_key_keep_the_order_of_their_partition(own_topic: OwnTopic) -> None:
    async def slow(_: DoorRequest) -> int:
        await asyncio.sleep(0.02)
        return 200

    door = RecordingDoor(slow)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        for n in range(10):
            own_topic.send(None, n)
        await until(lambda: len(door.heard) == 10)
    assert door.order() == {"": list(range(10))}
    assert door.open_most == 1


async def test_a_door_hears_no_more_than_its_share_at_once_and_a_slow_one_delays_itself_only(
    own_topic: OwnTopic,
) -> None:
    gate = Gate(*(f"evt_slow{n}_1" for n in range(10)))
    slow, quick = RecordingDoor(gate), RecordingDoor()
    async with opened(slow) as slow_url, opened(quick) as quick_url:
        limits = Limits(requests_max=3, commit_every_s=COMMIT_S, grace_s=0.2)
        async with own_topic.triggered({"billing.job.": slow_url, "billing.": quick_url}, limits=limits):
            for n in range(10):
                own_topic.send(f"slow{n}", 1, kind="billing.job.start_payment")
            for n in range(10):
                own_topic.send(f"quick{n}", 1)
            await until(lambda: len(quick.heard) == 10)
            await until(lambda: slow.open_now == 3)
        gate.open.set()
        assert slow.open_most == 3


async def test_a_full_trigger_polls_no_more_and_stays_a_member_and_goes_on(own_topic: OwnTopic) -> None:
    gate = Gate(*(f"evt_c{n}_1" for n in range(8)))
    door = RecordingDoor(gate)
    limits = Limits(queued_max=8, polled_max=4, commit_every_s=COMMIT_S)
    async with opened(door) as url, own_topic.triggered({"billing.": url}, limits=limits) as trigger:
        for n in range(40):
            own_topic.send(f"c{n}", 1)
        await until(lambda: len(door.heard) == 8)
        await asyncio.sleep(2.5)
        assert trigger.health()["queued"] == 8
        await until(lambda: trigger.health()["last_poll_age_s"] < 2)
        assert len(door.heard) == 8
        gate.open.set()
        await until(lambda: len(door.heard) == 40)
    assert sorted(one.id for one in door.heard) == sorted(f"evt_c{n}_1" for n in range(40))
    assert await own_topic.committed() == 40


async def test_the_distance_to_a_record_that_is_held_up_is_bounded(own_topic: OwnTopic) -> None:
    gate = Gate("evt_ann_1")
    door = RecordingDoor(gate)
    limits = Limits(span_max=10, polled_max=5, commit_every_s=COMMIT_S)
    async with opened(door) as url, own_topic.triggered({"billing.": url}, limits=limits):
        own_topic.send("ann", 1)
        for n in range(60):
            own_topic.send(f"c{n}", 1)
        await until(lambda: len(door.heard) >= limits.span_max)
        await asyncio.sleep(1)
        assert len(door.heard) <= limits.span_max + limits.polled_max
        gate.open.set()
        await until(lambda: len(door.heard) == 61)


async def test_stopping_finishes_what_is_under_way_and_a_restart_repeats_nothing(own_topic: OwnTopic) -> None:
    async def slow(_: DoorRequest) -> int:
        await asyncio.sleep(0.3)
        return 200

    door = RecordingDoor(slow)
    async with opened(door) as url:
        async with own_topic.triggered({"billing.": url}):
            for n in (1, 2, 3):
                own_topic.send("ann", n)
            await until(lambda: len(door.heard) == 1)
        assert door.order() == {"ann": [1]}
        assert await own_topic.committed() == 1
        async with own_topic.triggered({"billing.": url}):
            await until(lambda: len(door.heard) == 3)
    assert door.order() == {"ann": [1, 2, 3]}


async def test_stopping_does_not_wait_for_ever_and_what_was_not_done_comes_again(own_topic: OwnTopic) -> None:
    gate = Gate("evt_ann_1")
    door = RecordingDoor(gate)
    async with opened(door) as url:
        limits = Limits(grace_s=0.3, commit_every_s=COMMIT_S)
        async with own_topic.triggered({"billing.": url}, limits=limits):
            own_topic.send("ann", 1)
            await until(lambda: len(door.heard) == 1)
        # The door has not answered, and will not before the gate opens.
        assert await own_topic.committed() == 0
        gate.open.set()
        async with own_topic.triggered({"billing.": url}):
            await until(lambda: len(door.heard) == 2)
    assert door.order() == {"ann": [1, 1]}


async def test_a_pause_between_two_attempts_ends_when_the_trigger_stops(own_topic: OwnTopic) -> None:
    async def busy(_: DoorRequest) -> int:
        return 503

    door = RecordingDoor(busy)
    async with opened(door) as url:
        async with own_topic.triggered(
            {"billing.": url}, patience=Patience(budget_s=36_000, first_s=3600, most_s=3600)
        ):
            own_topic.send("ann", 1)
            await until(lambda: len(door.heard) == 1)
            await asyncio.sleep(0.1)
        assert len(door.heard) == 1
    assert await own_topic.letters() == []


async def test_partitions_that_move_take_nothing_along_that_was_done(new_own_topic: NewOwnTopic) -> None:
    """Ten customers, a second trigger joins and leaves under way: each event once, each customer's in order."""
    own_topic = new_own_topic(partitions=6)

    async def slow(_: DoorRequest) -> int:
        await asyncio.sleep(0.05)  # so that requests are under way whenever a partition moves
        return 200

    door, customers, each = RecordingDoor(slow), 12, 60
    async with opened(door) as url, AsyncExitStack() as first:
        await first.enter_async_context(own_topic.triggered({"billing.": url}))
        for n in range(each):
            for customer in range(customers):
                own_topic.send(f"c{customer}", n)
        await until(lambda: len(door.heard) > 100)
        async with own_topic.triggered({"billing.": url}) as second:
            await until(lambda: second.health()["partitions"] == 3)
            await until(lambda: len(door.heard) > 400)
        await until(lambda: len(door.heard) == customers * each)
        await first.aclose()
        assert await own_topic.committed() == customers * each
    assert door.order() == {f"c{customer}": list(range(each)) for customer in range(customers)}


async def test_a_partition_that_moves_waits_for_its_request_but_not_for_ever(
    new_own_topic: NewOwnTopic,
) -> None:
    own_topic = new_own_topic(partitions=2)
    gate = Gate("evt_ann_1", "evt_bob_1", "evt_cid_1", "evt_dan_1")
    door = RecordingDoor(gate)
    limits = Limits(grace_s=0.5, commit_every_s=COMMIT_S)
    async with opened(door) as url, own_topic.triggered({"billing.": url}, limits=limits):
        for n in (1, 2):
            for key in ("ann", "bob", "cid", "dan"):
                own_topic.send(key, n)
        await until(lambda: len(door.heard) == 4)
        async with own_topic.triggered({"billing.": url}, limits=limits) as second:
            await until(lambda: second.health()["partitions"] == 1)
            await until(lambda: len(door.heard) > 4)
            gate.open.set()
            await until(lambda: all(order[-1] == 2 for order in door.order().values()))
    assert {tuple(order) for order in door.order().values()} == {(1, 2), (1, 1, 2)}


async def test_a_name_of_its_own_keeps_the_partitions_over_a_restart(new_own_topic: NewOwnTopic) -> None:
    own_topic = new_own_topic(partitions=4)
    door = RecordingDoor()
    async with opened(door) as url, own_topic.triggered({"billing.": url}, instance="one") as one:
        async with own_topic.triggered({"billing.": url}, instance="two") as two:
            await until(lambda: two.health()["partitions"] == 2 and one.health()["partitions"] == 2)
            before = set(two._queues)
        await asyncio.sleep(0.5)
        assert one.health()["partitions"] == 2
        async with own_topic.triggered({"billing.": url}, instance="two") as two:
            await until(lambda: two.health()["partitions"] == 2)
            assert set(two._queues) == before


class Idle:
    """Owns partitions and does nothing with them."""

    def __init__(self) -> None:
        self.owned: set[Partition] = set()

    async def given(self, partitions: Iterable[Partition]) -> None:
        self.owned |= set(partitions)

    async def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        self.owned -= set(partitions)
        return {}

    async def lost(self, partitions: Iterable[Partition]) -> None:
        self.owned -= set(partitions)


@pytest.mark.parametrize("poll_s", [0.0, 0.001])
async def test_a_join_that_outlives_its_poll_is_finished(kafka: str, poll_s: float) -> None:
    """The topic appears after the first join: kafka-python rejoins, and would forget to finish."""
    topic, idle = f"test-late-{uuid.uuid4().hex[:8]}", Idle()
    member = Member(Group(bootstrap=[kafka], topics=[topic], name=f"group-{topic}"), poll_max=10)
    await member.join(idle)
    began, made = time.monotonic(), False
    while not idle.owned and time.monotonic() - began < PATIENCE_S:
        await member.poll(poll_s)
        if not made and time.monotonic() - began > 1:
            made = bool(await asyncio.to_thread(create, [kafka], [Topic(name=topic, partitions=2)]))
    owned = set(idle.owned)
    await member.leave()
    assert made
    assert owned


async def test_a_crash_of_ours_is_a_dead_letter_and_not_the_end(own_topic: OwnTopic) -> None:
    async def answer(_: DoorRequest) -> int:
        return 200

    door = RecordingDoor(answer)
    async with (
        opened(door) as url,
        own_topic.triggered({"billing.": url, "billing.crash": "not an address"}),
    ):
        own_topic.send("ann", headers=event_headers("evt_1", "billing.crash"))
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 1)
    (letter,) = await own_topic.letters()
    assert "no address of a door" in letter.headers["dead_reason"]
