from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared_lib.billing.events import JOBS, Event
from shared_lib.phases.outgoing import Replay, replay_dead_letters
from shared_lib.queries.outbox import ReadBatch, unsent, unsent_ids, unsent_of
from shared_lib.runtime import Runtime
from shared_lib.store.outbox import SHARDS, Outgoing
from shared_lib.store.repairs import Repair
from shared_lib.store.transaction import Transaction
from shared_lib.workers.relay import ATTEMPTS_MAX, Relay
from shared_lib.workers.sink import NeverError, NotNowError
from shared_lib.workers.unreadable import readable
from tests.kit.outbox import RecordingSink, ahead, facts, post, waiting


async def rounds(relay: Relay, count: int = 1) -> None:
    for _ in range(count):
        await relay.run_once()
        await relay.settle()


async def dead(rt: Runtime) -> list[tuple[str, str]]:
    """(customer, reason) of the dead letters that wait."""
    return await rt.read(_dead, None)


async def _dead(tx: Transaction, _: None) -> list[tuple[str, str]]:
    rows = await tx.fetch(
        "SELECT partition_key, reason FROM dead_letters WHERE replayed_at IS NULL ORDER BY dead_at"
    )
    return [(row[0], row[1]) for row in rows]


async def test_a_customer_s_events_wait_behind_one_that_is_retried_and_others_go_on(rt: Runtime) -> None:
    closed = {"ann"}
    door = RecordingSink(lambda event: NotNowError("closed") if event.partition_key in closed else None)
    await post(rt, *facts("ann", 3), *facts("bob", 2))
    await rounds(Relay(rt, door), 2)
    assert door.heard() == {"bob": [1, 2]}

    closed.clear()
    await post(rt, *facts("ann", 1, first=4))
    await rounds(Relay(rt, door))
    assert door.heard() == {"bob": [1, 2]}  # the first still waits for its time, and so does what came later

    await ahead(rt, timedelta(seconds=2))
    await rounds(Relay(rt, door), 2)
    assert door.heard() == {"bob": [1, 2], "ann": [1, 2, 3, 4]}
    assert await waiting(rt) == 0


async def test_a_job_that_waits_for_its_time_holds_nobody_up(rt: Runtime) -> None:
    now = await rt.clock()
    later = Event(
        type="billing.job.start_payment",
        subject="pay_1",
        partition_key="ann",
        data={},
        topic=JOBS,
        available_at=now + timedelta(seconds=10),
    )
    soon = Event(type="billing.job.start_refund", subject="ref_1", partition_key="ann", data={}, topic=JOBS)
    await post(rt, later, soon, *facts("ann", 1))
    door = RecordingSink()
    await rounds(Relay(rt, door))
    assert sorted(event.type for event in door.taken) == ["billing.job.start_refund", "billing.order.paid"]
    await ahead(rt, timedelta(seconds=11))
    await rounds(Relay(rt, door))
    assert door.taken[-1].subject == "pay_1"


async def test_an_event_nobody_takes_is_a_dead_letter_after_its_attempts_and_the_next_goes_on(
    rt: Runtime,
) -> None:
    asked = 0

    def never_now(event: Outgoing) -> Exception | None:
        nonlocal asked
        if event.sequence == 2:
            asked += 1
            return NotNowError("503")
        return None

    door = RecordingSink(never_now)
    await post(rt, *facts("ann", 3))
    for _ in range(ATTEMPTS_MAX + 1):
        await rounds(Relay(rt, door), 2)
        await ahead(rt, timedelta(minutes=10))
    assert asked == ATTEMPTS_MAX
    assert door.heard() == {"ann": [1, 3]}
    assert await dead(rt) == [("ann", f"after {ATTEMPTS_MAX} attempts: 503")]


async def test_a_door_that_is_not_there_is_waited_for_without_counting(rt: Runtime) -> None:
    there = False
    door = RecordingSink(lambda _: None if there else NotNowError("no door", counts=False))
    await post(rt, *facts("ann", 2))
    for _ in range(3 * ATTEMPTS_MAX):
        await rounds(Relay(rt, door))
        await ahead(rt, timedelta(seconds=10))
    assert await dead(rt) == []
    there = True
    await rounds(Relay(rt, door))
    assert door.heard() == {"ann": [1, 2]}


async def test_what_a_door_refuses_is_a_dead_letter_at_once_and_can_be_replayed_under_its_id(
    rt: Runtime,
) -> None:
    broken = {2}
    door = RecordingSink(lambda event: NeverError("422 invalid") if event.sequence in broken else None)
    await post(rt, *facts("ann", 3))
    await rounds(Relay(rt, door))
    assert door.heard() == {"ann": [1, 3]}
    assert await dead(rt) == [("ann", "422 invalid")]
    (event_id,) = (row[0] for row in await rt.read(_dead_ids, None))

    broken.clear()
    assert await rt.run(replay_dead_letters, Replay(repair=Repair(made_by="olga", verb="replay"))) == 1
    assert await rt.run(replay_dead_letters, Replay(repair=Repair(made_by="olga", verb="replay"))) == 0
    await rounds(Relay(rt, door))
    assert (door.taken[-1].event_id, door.taken[-1].data) == (event_id, {"n": 2})
    assert await dead(rt) == []


async def _dead_ids(tx: Transaction, _: None) -> list[tuple[str]]:
    return [(row[0],) for row in await tx.fetch("SELECT event_id FROM dead_letters")]


async def test_no_more_lanes_than_asked_for_are_delivered_at_once(rt: Runtime) -> None:
    at_once = most = 0

    class Counting(RecordingSink):
        async def deliver(self, event: Outgoing) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                await super().deliver(event)
            finally:
                at_once -= 1

    door = Counting(slow_s=0.01)
    relay = Relay(rt, door, lanes_max=4)
    await post(rt, *(fact for n in range(20) for fact in facts(f"c{n}", 2)))
    while await waiting(rt):
        await relay.run_once()
    await relay.settle()
    assert most == 4
    assert door.heard() == {f"c{n}": [1, 2] for n in range(20)}


@pytest.mark.parametrize(
    "broken",
    [
        "created_at = 'infinity'",
        "created_at = '-infinity'",
        "data = (repeat('[', 3000) || repeat(']', 3000))::jsonb",
        "data = ('{\"n\": ' || repeat('9', 5000) || '}')::jsonb",
    ],
)
async def test_a_row_that_cannot_be_read_is_a_dead_letter_and_all_others_are_delivered(
    rt: Runtime, broken: str
) -> None:
    door = RecordingSink(lambda _: None)
    await post(rt, *facts("ann", 3), *facts("bob", 2))
    await rt.run(_break, broken)
    await rounds(Relay(rt, door), 2)
    assert door.heard() == {"ann": [1, 3], "bob": [1, 2]}
    ((customer, reason),) = await dead(rt)
    assert (customer, reason.partition(":")[0]) == ("ann", "unreadable")
    assert await waiting(rt) == 0


async def _break(tx: Transaction, changes: Sequence[str]) -> list[None]:
    for change in changes:
        tx.later(f"UPDATE outbox SET {change} WHERE partition_key = 'ann' AND sequence = 2", [])
    return [None] * len(changes)


async def test_kafka_s_relay_reads_around_such_a_row_too(rt: Runtime) -> None:
    await post(rt, *facts("ann", 3))
    await rt.run(_break, "created_at = 'infinity'")
    rows = await readable(rt, unsent, ReadBatch(shards=range(SHARDS)), ids=unsent_ids, by_id=unsent_of)
    assert [row.sequence for row in rows] == [1, 3]
    assert [customer for customer, _ in await dead(rt)] == ["ann"]
