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
from tests.kit.waiting import PATIENCE_S
from tests.trigger.conftest import NewStreet
from tests.trigger.ground import Door, Heard, Street, event_headers, opened, until

pytestmark = pytest.mark.kafka

COMMIT_S = 0.1


class Gate:
    """A door's answer that waits for some events until it is opened."""

    def __init__(self, *ids: str, status: int = 200) -> None:
        self._ids = ids
        self._status = status
        self.open = asyncio.Event()

    async def __call__(self, heard: Heard) -> int:
        if heard.id in self._ids:
            await self.open.wait()
            return self._status
        return 200


async def test_one_slow_customer_does_not_delay_the_others_of_the_partition(street: Street) -> None:
    gate = Gate("evt_ann_1")
    door = Door(gate)
    async with opened(door) as url, street.triggered({"billing.": url}):
        for n in (1, 2, 3):
            for key in ("ann", "bob", "cid"):
                street.send(key, n)
        await until(lambda: len(door.heard) == 7)
        assert door.order() == {"ann": [1], "bob": [1, 2, 3], "cid": [1, 2, 3]}
        gate.open.set()
        await until(lambda: len(door.heard) == 9)
    assert door.order()["ann"] == [1, 2, 3]


async def test_what_is_not_done_is_not_committed_although_later_records_are(street: Street) -> None:
    gate = Gate("evt_bob_1")
    door = Door(gate)
    async with opened(door) as url, street.triggered({"billing.": url}):
        for key in ("ann", "bob", "cid"):
            street.send(key, 1)
        await until(lambda: len(door.heard) == 3)
        await asyncio.sleep(5 * COMMIT_S)
        assert await street.committed() == 1
        gate.open.set()

        async def all_committed() -> bool:
            return await street.committed() == 3

        await until(all_committed)


async def test_records_without_a_key_keep_the_order_of_their_partition(street: Street) -> None:
    async def slow(_: Heard) -> int:
        await asyncio.sleep(0.02)
        return 200

    door = Door(slow)
    async with opened(door) as url, street.triggered({"billing.": url}):
        for n in range(10):
            street.send(None, n)
        await until(lambda: len(door.heard) == 10)
    assert door.order() == {"": list(range(10))}
    assert door.open_most == 1


async def test_a_door_hears_no_more_than_its_share_at_once_and_a_slow_one_delays_itself_only(
    street: Street,
) -> None:
    gate = Gate(*(f"evt_slow{n}_1" for n in range(10)))
    slow, quick = Door(gate), Door()
    async with opened(slow) as slow_url, opened(quick) as quick_url:
        limits = Limits(requests_max=3, commit_every_s=COMMIT_S, grace_s=0.2)
        async with street.triggered({"billing.job.": slow_url, "billing.": quick_url}, limits=limits):
            for n in range(10):
                street.send(f"slow{n}", 1, kind="billing.job.start_payment")
            for n in range(10):
                street.send(f"quick{n}", 1)
            await until(lambda: len(quick.heard) == 10)
            await until(lambda: slow.open_now == 3)
        gate.open.set()
        assert slow.open_most == 3


async def test_a_full_trigger_polls_no_more_and_stays_a_member_and_goes_on(street: Street) -> None:
    gate = Gate(*(f"evt_c{n}_1" for n in range(8)))
    door = Door(gate)
    limits = Limits(queued_max=8, polled_max=4, commit_every_s=COMMIT_S)
    async with opened(door) as url, street.triggered({"billing.": url}, limits=limits) as trigger:
        for n in range(40):
            street.send(f"c{n}", 1)
        await until(lambda: len(door.heard) == 8)
        await asyncio.sleep(2.5)
        assert trigger.health()["queued"] == 8
        await until(lambda: trigger.health()["last_poll_age_s"] < 2)
        assert len(door.heard) == 8
        gate.open.set()
        await until(lambda: len(door.heard) == 40)
    assert sorted(one.id for one in door.heard) == sorted(f"evt_c{n}_1" for n in range(40))
    assert await street.committed() == 40


async def test_the_distance_to_a_record_that_is_held_up_is_bounded(street: Street) -> None:
    gate = Gate("evt_ann_1")
    door = Door(gate)
    limits = Limits(span_max=10, polled_max=5, commit_every_s=COMMIT_S)
    async with opened(door) as url, street.triggered({"billing.": url}, limits=limits):
        street.send("ann", 1)
        for n in range(60):
            street.send(f"c{n}", 1)
        await until(lambda: len(door.heard) >= limits.span_max)
        await asyncio.sleep(1)
        assert len(door.heard) <= limits.span_max + limits.polled_max
        gate.open.set()
        await until(lambda: len(door.heard) == 61)


async def test_stopping_finishes_what_is_under_way_and_a_restart_repeats_nothing(street: Street) -> None:
    async def slow(_: Heard) -> int:
        await asyncio.sleep(0.3)
        return 200

    door = Door(slow)
    async with opened(door) as url:
        async with street.triggered({"billing.": url}):
            for n in (1, 2, 3):
                street.send("ann", n)
            await until(lambda: len(door.heard) == 1)
        assert door.order() == {"ann": [1]}
        assert await street.committed() == 1
        async with street.triggered({"billing.": url}):
            await until(lambda: len(door.heard) == 3)
    assert door.order() == {"ann": [1, 2, 3]}


async def test_stopping_does_not_wait_for_ever_and_what_was_not_done_comes_again(street: Street) -> None:
    gate = Gate("evt_ann_1")
    door = Door(gate)
    async with opened(door) as url:
        limits = Limits(grace_s=0.3, commit_every_s=COMMIT_S)
        async with street.triggered({"billing.": url}, limits=limits):
            street.send("ann", 1)
            await until(lambda: len(door.heard) == 1)
        # The door has not answered, and will not before the gate opens.
        assert await street.committed() == 0
        gate.open.set()
        async with street.triggered({"billing.": url}):
            await until(lambda: len(door.heard) == 2)
    assert door.order() == {"ann": [1, 1]}


async def test_a_pause_between_two_attempts_ends_when_the_trigger_stops(street: Street) -> None:
    async def busy(_: Heard) -> int:
        return 503

    door = Door(busy)
    async with opened(door) as url:
        async with street.triggered(
            {"billing.": url}, patience=Patience(budget_s=36_000, first_s=3600, most_s=3600)
        ):
            street.send("ann", 1)
            await until(lambda: len(door.heard) == 1)
            await asyncio.sleep(0.1)
        assert len(door.heard) == 1
    assert await street.letters() == []


async def test_partitions_that_move_take_nothing_along_that_was_done(new_street: NewStreet) -> None:
    """Ten customers, a second trigger joins and leaves under way: each event once, each customer's in order."""
    street = new_street(partitions=6)

    async def slow(_: Heard) -> int:
        await asyncio.sleep(0.05)  # so that requests are under way whenever a partition moves
        return 200

    door, customers, each = Door(slow), 12, 60
    async with opened(door) as url, AsyncExitStack() as first:
        await first.enter_async_context(street.triggered({"billing.": url}))
        for n in range(each):
            for customer in range(customers):
                street.send(f"c{customer}", n)
        await until(lambda: len(door.heard) > 100)
        async with street.triggered({"billing.": url}) as second:
            await until(lambda: second.health()["partitions"] == 3)
            await until(lambda: len(door.heard) > 400)
        await until(lambda: len(door.heard) == customers * each)
        await first.aclose()
        assert await street.committed() == customers * each
    assert door.order() == {f"c{customer}": list(range(each)) for customer in range(customers)}


async def test_a_partition_that_moves_waits_for_its_request_but_not_for_ever(new_street: NewStreet) -> None:
    street = new_street(partitions=2)
    gate = Gate("evt_ann_1", "evt_bob_1", "evt_cid_1", "evt_dan_1")
    door = Door(gate)
    limits = Limits(grace_s=0.5, commit_every_s=COMMIT_S)
    async with opened(door) as url, street.triggered({"billing.": url}, limits=limits):
        for n in (1, 2):
            for key in ("ann", "bob", "cid", "dan"):
                street.send(key, n)
        await until(lambda: len(door.heard) == 4)
        async with street.triggered({"billing.": url}, limits=limits) as second:
            await until(lambda: second.health()["partitions"] == 1)
            await until(lambda: len(door.heard) > 4)
            gate.open.set()
            await until(lambda: all(order[-1] == 2 for order in door.order().values()))
    assert {tuple(order) for order in door.order().values()} == {(1, 2), (1, 1, 2)}


async def test_a_name_of_its_own_keeps_the_partitions_over_a_restart(new_street: NewStreet) -> None:
    street = new_street(partitions=4)
    door = Door()
    async with opened(door) as url, street.triggered({"billing.": url}, instance="one") as one:
        async with street.triggered({"billing.": url}, instance="two") as two:
            await until(lambda: two.health()["partitions"] == 2 and one.health()["partitions"] == 2)
            before = set(two._queues)
        await asyncio.sleep(0.5)
        assert one.health()["partitions"] == 2
        async with street.triggered({"billing.": url}, instance="two") as two:
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


async def test_a_crash_of_ours_is_a_dead_letter_and_not_the_end(street: Street) -> None:
    async def answer(_: Heard) -> int:
        return 200

    door = Door(answer)
    async with (
        opened(door) as url,
        street.triggered({"billing.": url, "billing.crash": "not an address"}),
    ):
        street.send("ann", headers=event_headers("evt_1", "billing.crash"))
        street.send("ann", 2)
        await until(lambda: len(door.heard) == 1)
    (letter,) = await street.letters()
    assert "no address of a door" in letter.headers["dead_reason"]
