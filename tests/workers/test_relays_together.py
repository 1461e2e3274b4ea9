"""Several relays, each with a process's own runtime: shards are shared, taken over, and survive the database."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg

from infra.servers.access import prepare
from infra.servers.postgres import EmbeddedPostgres
from shared_lib.workers.relay import Relay
from shared_lib.workers.shards import LOCK_CLASS
from tests.kit.outbox import RecordingSink, empty, facts, post, running, waiting
from tests.kit.runtime_fixtures import OpenRuntime
from tests.kit.waiting import until

CUSTOMERS = 40


def owners(url: str) -> dict[int, int]:
    """Backend of a relay's session -> how many shards it owns."""
    with psycopg.connect(url, autocommit=True) as db:
        rows = db.execute(
            "SELECT pid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid",
            [LOCK_CLASS],
        ).fetchall()
    return dict(rows)


async def test_two_relays_deliver_everything_once_and_in_order(
    open_runtime: OpenRuntime, database_url: str
) -> None:
    first, second = await open_runtime(), await open_runtime()
    door = RecordingSink(slow_s=0.002)
    async with running(Relay(first, door), Relay(second, door)):
        for n in range(5):
            await post(
                first, *(fact for c in range(CUSTOMERS) for fact in facts(f"c{c}", 2, first=2 * n + 1))
            )
        await empty(first)
        assert sum(owners(database_url).values()) == 12
    assert Counter(event.event_id for event in door.taken).most_common(1)[0][1] == 1
    assert door.heard() == {f"c{c}": list(range(1, 11)) for c in range(CUSTOMERS)}


async def test_when_the_session_of_a_relay_dies_another_takes_its_shards(
    open_runtime: OpenRuntime, database_url: str
) -> None:
    first, second = await open_runtime(), await open_runtime()
    one, other = RecordingSink(), RecordingSink()
    async with running(Relay(first, one)):
        await until(lambda: sum(owners(database_url).values()) == 12)
        async with running(Relay(second, other)):
            await post(first, *facts("ann", 1))
            await until(lambda: one.heard() == {"ann": [1]})
            (pid,) = owners(database_url)
            with psycopg.connect(database_url, autocommit=True) as db:
                db.execute("SELECT pg_terminate_backend(%s)", [pid])
            await until(lambda: pid not in owners(database_url) and sum(owners(database_url).values()) == 12)
            await post(second, *facts("ann", 1, first=2))
            await until(lambda: other.heard() == {"ann": [2]})
    assert await waiting(second) == 0


async def test_what_was_delivered_while_the_database_went_away_is_delivered_again_not_lost(
    own_postgres: EmbeddedPostgres, open_runtime: OpenRuntime
) -> None:
    with own_postgres:
        await _lose_the_database(own_postgres, open_runtime)


async def _lose_the_database(postgres: EmbeddedPostgres, open_runtime: OpenRuntime) -> None:
    url = postgres.url()
    prepare(url)
    rt = await open_runtime(url)
    door = RecordingSink(slow_s=0.05)
    await post(rt, *(fact for c in range(4) for fact in facts(f"c{c}", 12)))
    async with running(Relay(rt, door)):
        await until(lambda: len(door.taken) >= 8)
        postgres.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(postgres.start)
        await until(lambda: len({event.event_id for event in door.taken}) == 48, 30)
        await empty(rt)
    for heard in door.heard().values():
        first_times = list(dict.fromkeys(heard))
        assert first_times == list(range(1, 13))
