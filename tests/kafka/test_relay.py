"""Outbox -> Kafka while relays come and go, brokers stop, and processes are killed: nothing lost, order kept."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from shared_lib.runtime import Runtime
from shared_lib.workers.kafka_relay import KafkaRelay
from shared_lib.workers.shards import LOCK_CLASS
from tests.kafka.records import all_records, dead, facts, first_told, header, relay_process
from tests.kit.kafka_fixtures import NewTopic
from tests.kit.outbox import empty, post, running, waiting
from tests.kit.runtime_fixtures import OpenRuntime
from tests.kit.waiting import until

if TYPE_CHECKING:
    from infra.kafka.choice import OwnKafka

pytestmark = pytest.mark.kafka

CUSTOMERS = 50


async def tell(rt: Runtime, topic: str, rounds: int, *, first: int = 1, pause_s: float = 0.0) -> None:
    """`rounds` facts about each of 50 customers, a round per transaction."""
    for n in range(first, first + rounds):
        await post(rt, *(fact for c in range(CUSTOMERS) for fact in facts(f"c{c}", 1, topic, first=n)))
        await asyncio.sleep(pause_s)


def everything(rounds: int) -> dict[str, list[int]]:
    return {f"c{c}": list(range(1, rounds + 1)) for c in range(CUSTOMERS)}


def owners(url: str) -> dict[int, int]:
    """Backend of a relay's session -> how many shards it owns."""
    with psycopg.connect(url, autocommit=True) as db:
        rows = db.execute(
            "SELECT pid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid",
            [LOCK_CLASS],
        ).fetchall()
    return dict(rows)


async def test_relays_that_join_and_leave_share_the_work_and_keep_each_customers_order(
    open_runtime: OpenRuntime, kafka: str, new_topic: NewTopic, database_url: str
) -> None:
    topic, rounds = new_topic(), 100
    rt, *others = [await open_runtime() for _ in range(4)]
    relays = [KafkaRelay(other, [kafka]) for other in others]
    telling = asyncio.create_task(tell(rt, topic, rounds, pause_s=0.03))
    async with running(relays[0]):
        await asyncio.sleep(0.5)
        async with running(relays[1]):

            async def halves() -> bool:
                return sorted(owners(database_url).values()) == [6, 6]

            await until(halves)
            async with running(relays[2]):
                await asyncio.sleep(0.7)
        await telling
        await empty(rt)
    records = all_records(kafka, topic)
    assert first_told(records) == everything(rounds)
    # Shards change hands only between batches: no row is sent twice.
    assert Counter(header(record, "ce_id") for record in records).most_common(1)[0][1] == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_while_the_broker_is_away_the_outbox_grows_and_then_drains_by_itself(
    rt: Runtime, own_kafka: OwnKafka, new_topic: NewTopic, how: str
) -> None:
    topic, rounds = new_topic(bootstrap=own_kafka.bootstrap), 60
    async with running(KafkaRelay(rt, [own_kafka.bootstrap])):
        telling = asyncio.create_task(tell(rt, topic, rounds, pause_s=0.03))
        await asyncio.sleep(0.6)
        await asyncio.to_thread(getattr(own_kafka, how))
        await telling  # committing does not wait for Kafka
        assert await waiting(rt) > 0
        await asyncio.to_thread(own_kafka.start)
        await empty(rt, 60)
    assert first_told(all_records(own_kafka.bootstrap, topic)) == everything(rounds)
    assert await dead(rt) == []


@pytest.mark.slow
async def test_what_no_broker_has_acknowledged_stays_in_the_outbox(
    rt: Runtime, own_kafka: OwnKafka, new_topic: NewTopic
) -> None:
    """The relay has read the events and handed them to its producer, and ends while the broker is away."""
    topic = new_topic(bootstrap=own_kafka.bootstrap)
    relay = KafkaRelay(rt, [own_kafka.bootstrap])
    async with running(relay):
        await tell(rt, topic, 1)
        await empty(rt)
        await asyncio.to_thread(own_kafka.kill)
        await tell(rt, topic, 1, first=2)

        async def are_on_their_way() -> bool:
            return len(relay._on_their_way) == CUSTOMERS

        await until(are_on_their_way)
        await asyncio.sleep(0.5)  # time in which a relay that forgets too early would do so
        assert await waiting(rt) == CUSTOMERS
    await asyncio.to_thread(own_kafka.start)
    async with running(KafkaRelay(rt, [own_kafka.bootstrap])):
        await empty(rt)
    assert first_told(all_records(own_kafka.bootstrap, topic)) == everything(2)


async def test_a_relay_starts_without_a_broker_and_waits_for_it(
    rt: Runtime, own_kafka: OwnKafka, new_topic: NewTopic, database_url: str
) -> None:
    topic = new_topic(bootstrap=own_kafka.bootstrap)
    await asyncio.to_thread(own_kafka.stop)
    with relay_process(database_url, own_kafka.bootstrap) as relay:
        await tell(rt, topic, 2)
        await asyncio.sleep(2)
        assert relay.poll() is None
        await asyncio.to_thread(own_kafka.start)
        await empty(rt)
    assert relay.returncode == 0
    assert first_told(all_records(own_kafka.bootstrap, topic)) == everything(2)


async def test_a_relay_killed_between_acknowledgement_and_delete_tells_the_same_events_again(
    rt: Runtime, kafka: str, new_topic: NewTopic, database_url: str
) -> None:
    topic = new_topic()
    await tell(rt, topic, 3)
    crashing = relay_process(
        database_url, kafka, module="tests.kafka.crashing_relay", CRASH_AT="delete_acknowledged:before_commit"
    )
    with crashing as relay:
        assert await asyncio.to_thread(relay.wait, 20) == -signal.SIGKILL
    assert await waiting(rt) == 3 * CUSTOMERS
    async with running(KafkaRelay(rt, [kafka])):
        await empty(rt)
    records = all_records(kafka, topic)
    assert set(Counter(header(record, "ce_id") for record in records).values()) == {2}
    assert first_told(records) == everything(3)


async def test_a_relay_killed_under_load_is_replaced_and_nothing_is_lost(
    rt: Runtime, kafka: str, new_topic: NewTopic, database_url: str
) -> None:
    topic, rounds = new_topic(), 80
    telling = asyncio.create_task(tell(rt, topic, rounds, pause_s=0.03))
    with relay_process(database_url, kafka) as first, relay_process(database_url, kafka):

        async def halves() -> bool:
            return sorted(owners(database_url).values()) == [6, 6]

        await until(halves)
        os.kill(first.pid, signal.SIGKILL)
        await telling
        await empty(rt)
    assert first_told(all_records(kafka, topic)) == everything(rounds)


async def test_a_relay_that_loses_its_session_under_load_begins_anew_in_order(
    open_runtime: OpenRuntime, kafka: str, new_topic: NewTopic, database_url: str
) -> None:
    topic, rounds = new_topic(), 80
    rt, first, second = [await open_runtime() for _ in range(3)]
    telling = asyncio.create_task(tell(rt, topic, rounds, pause_s=0.02))
    async with running(KafkaRelay(first, [kafka]), KafkaRelay(second, [kafka])):
        for _ in range(4):
            await asyncio.sleep(0.5)
            for pid in list(owners(database_url))[:1]:
                with psycopg.connect(database_url, autocommit=True) as db:
                    db.execute("SELECT pg_terminate_backend(%s)", [pid])
        await telling
        await empty(rt)
    assert first_told(all_records(kafka, topic)) == everything(rounds)
    assert await dead(rt) == []


async def test_sigterm_ends_a_relay_after_what_is_under_way(
    rt: Runtime, kafka: str, new_topic: NewTopic, database_url: str
) -> None:
    topic = new_topic()
    await tell(rt, topic, 100)
    with relay_process(database_url, kafka) as relay:

        async def begun() -> bool:
            return await waiting(rt) < 100 * CUSTOMERS

        await until(begun)
        relay.terminate()
        assert await asyncio.to_thread(relay.wait, 15) == 0
    told = all_records(kafka, topic)
    assert (
        len({header(record, "ce_id") for record in told}) == len(told) == 100 * CUSTOMERS - await waiting(rt)
    )
