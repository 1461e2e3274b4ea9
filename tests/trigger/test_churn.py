"""Twenty thousand events while triggers come, go and are killed; and one that sleeps while its partitions move on."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from itertools import groupby

import psycopg
import pytest

from infra.kafka.choice import OwnKafka
from infra.servers.ports import free_port
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.inbox import take
from shared_lib.store.transaction import Transaction
from shared_lib.workers.trigger import health
from shared_lib.workers.trigger.trigger import Limits
from tests.kit.doors import DoorRequest, RecordingDoor, opened
from tests.kit.kafka import OwnTopic
from tests.kit.waiting import PATIENCE_S, until
from tests.trigger.conftest import NewOwnTopic
from tests.trigger.processes import TriggerProcess, processes

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS, CUSTOMERS = 20_000, 200
EACH = EVENTS // CUSTOMERS
TERM, KILL = signal.SIGTERM, signal.SIGKILL


async def note(tx: Transaction, heard: Sequence[DoorRequest]) -> list[bool]:
    """A consumer's transaction: the inbox and the effect together. What was taken before has no effect."""
    new = await take(tx, [(one.headers["ce-source"], one.id) for one in heard])
    rows = [(one.key, one.n) for one in heard if (one.headers["ce-source"], one.id) in new]
    tx.later(
        "INSERT INTO effects (customer, n) SELECT * FROM unnest(%s::text[], %s::int[])",
        [[customer for customer, _ in rows], [n for _, n in rows]],
    )
    return [True] * len(heard)


@pytest.fixture
async def consumer(database_url: str) -> AsyncIterator[RecordingDoor]:
    """A door with an inbox in PostgreSQL."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("CREATE TABLE effects (at bigserial PRIMARY KEY, customer text NOT NULL, n int NOT NULL)")
    pool = connection_pool(database_url, connections_max=3)
    await pool.open()
    batcher = Batcher(pool, writers=2)

    async def answer(heard: DoorRequest) -> int:
        await batcher.run(note, heard)
        return 200

    yield RecordingDoor(answer)
    await pool.close()


async def test_triggers_that_come_go_and_die_lose_nothing_and_keep_each_customers_order(
    new_own_topic: NewOwnTopic, consumer: RecordingDoor, database_url: str
) -> None:
    own_topic = new_own_topic(partitions=12)
    for n in range(EACH):
        for customer in range(CUSTOMERS):
            own_topic.send(f"cus_{customer}", n)
    await own_topic.sent()
    with processes() as running:
        async with opened(consumer) as url:

            async def after(share: float) -> None:
                await until(lambda: len(consumer.heard) >= share * EVENTS, within_s=PATIENCE_S)

            def starts() -> None:
                running.append(TriggerProcess(own_topic, url))

            starts()
            starts()
            await after(0.10)
            starts()
            await after(0.25)
            await asyncio.to_thread(running[0].end, KILL)
            starts()
            await after(0.50)
            assert await asyncio.to_thread(running[1].end, TERM) == 0, running[1].says()
            await after(0.65)
            await asyncio.to_thread(running[2].end, KILL)
            starts()
            with psycopg.connect(database_url, autocommit=True) as db:

                def effects() -> int:
                    row = db.execute("SELECT count(*) FROM effects").fetchone()
                    assert row
                    return int(row[0])

                await until(lambda: effects() >= EVENTS, within_s=PATIENCE_S)
                rows = db.execute("SELECT customer, n FROM effects ORDER BY customer, at").fetchall()

            async def all_committed() -> bool:
                return await own_topic.committed() == EVENTS

            await until(all_committed)
            for left in running[3:]:
                assert await asyncio.to_thread(left.end, TERM) == 0, left.says()
    orders = {
        customer: [n for _, n in found] for customer, found in groupby(rows, key=lambda row: str(row[0]))
    }
    assert len(orders) == CUSTOMERS
    assert all(order == list(range(EACH)) for order in orders.values())
    assert await own_topic.letters() == []
    print(f"{len(consumer.heard) - EVENTS} duplicates of {EVENTS} events were dropped by the inbox")


async def test_one_that_slept_through_its_session_goes_on_with_nothing_that_moved(
    own_topic: OwnTopic,
) -> None:
    """SIGSTOP is what a frozen virtual machine looks like: its queue is full of events that belong to another member now."""
    customers, each, awake = 40, 15, asyncio.Event()

    async def when_awake(_: DoorRequest) -> int:
        await awake.wait()
        return 200

    sleepers, others = RecordingDoor(when_awake), RecordingDoor()
    for n in range(each):
        for customer in range(customers):
            own_topic.send(f"cus_{customer}", n)
    await own_topic.sent()
    with processes() as running:
        async with opened(sleepers) as url, opened(others) as other_url:
            running.append(TriggerProcess(own_topic, url))
            under_way = Limits().requests_max  # the other customers wait for a free place
            await until(lambda: len(sleepers.heard) == under_way)
            running[0].process.send_signal(signal.SIGSTOP)
            running.append(TriggerProcess(own_topic, other_url))
            await until(lambda: len(others.heard) > customers)
            awake.set()  # the sleeper finds all answers when it wakes up
            await asyncio.sleep(0.2)
            running[0].process.send_signal(signal.SIGCONT)
            await until(lambda: "partitions_lost" in running[0].says())
            await asyncio.sleep(0.2)  # what was sent before it noticed is heard by now
            assert len(sleepers.heard) == under_way
            await until(lambda: len({one.id for one in sleepers.heard + others.heard}) == customers * each)


async def test_health_is_told_on_loopback_and_by_the_command(own_topic: OwnTopic) -> None:
    port, door = free_port(), RecordingDoor()
    assert health.ask(port)[0] is False
    with processes() as running:
        async with opened(door) as url:
            running.append(TriggerProcess(own_topic, url, instance="one", port=port))
            own_topic.send("ann", 1)
            await until(lambda: len(door.heard) == 1)
            with await asyncio.to_thread(
                urllib.request.urlopen, f"http://127.0.0.1:{port}/healthz"
            ) as answer:
                assert answer.status == 200
            asked = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "shared_lib.workers.trigger",
                "--healthy",
                env={"BOXOFFICE_TRIGGER_PORT": str(port)},
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asked.communicate()
            assert asked.returncode == 0
            assert b'"partitions": 1' in said
            # Another member with its name: the broker refuses the first one from then on, and it ends.
            running.append(TriggerProcess(own_topic, url, instance="one"))
            assert await asyncio.to_thread(running[0].process.wait, 30) == 1
            assert "FencedInstanceIdError" in running[0].says()
            own_topic.send("ann", 2)
            await until(lambda: len(door.heard) == 2)
            assert await asyncio.to_thread(running[1].end, TERM) == 0


async def test_a_broker_that_is_killed_and_comes_back_costs_no_event(own_kafka: OwnKafka) -> None:
    own_topic = OwnTopic(own_kafka.bootstrap, 4)
    own_topic.open_dead_letters()
    customers, each = 40, 100

    async def slow(_: DoorRequest) -> int:
        await asyncio.sleep(0.02)
        return 200

    door = RecordingDoor(slow)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        for n in range(each):
            for customer in range(customers):
                own_topic.send(f"cus_{customer}", n)
        await own_topic.sent()
        await until(lambda: len(door.heard) > 500)
        await asyncio.to_thread(own_kafka.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(own_kafka.start)
        await until(lambda: len({one.id for one in door.heard}) == customers * each, within_s=PATIENCE_S)

        async def all_committed() -> bool:
            return await own_topic.committed() == customers * each

        await until(all_committed)
    first = {customer: list(dict.fromkeys(order)) for customer, order in door.order().items()}
    assert first == {f"cus_{customer}": list(range(each)) for customer in range(customers)}
    own_topic.close()
