"""A relay passes over what was delivered, and over nothing that is committed late under a low id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg

from infra.servers.access import prepare, role_url
from infra.servers.postgres import EmbeddedPostgres
from shared_lib.billing.events import JOBS, Event
from shared_lib.processes import Role
from shared_lib.queries.floor import NAMED_MAX, NO_FLOOR, Floor, Raise, raised
from shared_lib.queries.outbox import ReadBatch, unsent_ids
from shared_lib.runtime import Runtime
from shared_lib.store.transaction import snapshot
from shared_lib.workers.floor import MovingFloor
from tests.kit.outbox import ahead, facts, post
from tests.kit.runtime_fixtures import OpenRuntime, own_settings
from tests.workers.held import ALL, deliver, insert, looked, readable_ids, session


async def test_the_floor_passes_over_what_was_delivered(rt: Runtime, database_url: str) -> None:
    await post(rt, *facts("ann", 30))
    await deliver(database_url)
    floor = await looked(rt)
    assert (floor.id, floor.named) == (31, [])
    await post(rt, *facts("ann", 2, first=31))
    assert await readable_ids(rt, floor) == [31, 32]


async def test_a_relay_that_starts_reads_everything_and_on_an_empty_outbox_passes_over_nothing(
    rt: Runtime,
) -> None:
    floor = await looked(rt)
    assert floor.id == 1  # no id was given yet: the first one is not passed over
    await post(rt, *facts("ann", 1))
    assert await readable_ids(rt, floor) == await readable_ids(rt, NO_FLOOR) == [1]


async def test_an_event_of_a_transaction_that_is_held_open_is_not_passed_over(
    rt: Runtime, database_url: str
) -> None:
    async with session(database_url) as slow:
        (low,) = await insert(slow, "slow")
        floor = NO_FLOOR
        for n in range(5):
            await post(rt, *facts("ann", 20, first=1 + 20 * n))
            await deliver(database_url)
            floor = await looked(rt, floor)
        await slow.commit()
    assert floor.id <= low
    assert await readable_ids(rt, floor) == [low]


async def test_a_running_transaction_above_the_last_finished_one_holds_the_floor(
    rt: Runtime, database_url: str
) -> None:
    """`pg_snapshot_xmax` of the mark would be the xid of `first`: it is over when `first` ends, and `second` is not."""
    async with session(database_url) as first, session(database_url) as second:
        await first.execute("SELECT pg_current_xact_id()")
        (low,) = await insert(second, "second")
        marked = await rt.read(raised, Raise(floor=NO_FLOOR))
        assert marked.mark
        assert marked.mark.last == low
        await first.commit()
        floor = await looked(rt, marked)
        assert floor == marked
        await second.commit()
    assert await readable_ids(rt, floor) == [low]
    await deliver(database_url)
    assert (await looked(rt, floor, 1)).id == low + 1


async def test_an_id_below_a_savepoint_holds_the_floor(rt: Runtime, database_url: str) -> None:
    async with session(database_url) as slow:
        await slow.execute("SAVEPOINT one")
        (low,) = await insert(slow, "slow")
        await slow.execute("RELEASE one")
        await post(rt, *facts("ann", 5))
        await deliver(database_url)
        floor = await looked(rt, times=4)
        await slow.commit()
    assert await readable_ids(rt, floor) == [low]


async def test_ids_that_are_rolled_back_do_not_hold_the_floor(rt: Runtime, database_url: str) -> None:
    async with session(database_url) as failing:
        await insert(failing, "failing", 3)
        await failing.rollback()
    await post(rt, *facts("ann", 1))
    await deliver(database_url)
    assert (await looked(rt)).id == 5


async def test_a_snapshot_of_a_backup_does_not_hold_the_floor(rt: Runtime, database_url: str) -> None:
    async with session(database_url) as backup:
        await backup.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await backup.execute("SELECT count(*) FROM outbox")
        await post(rt, *facts("ann", 9))
        await deliver(database_url)
        assert (await looked(rt)).id == 10


async def test_reading_costs_the_same_however_much_a_backup_keeps(rt: Runtime, database_url: str) -> None:
    """In pages, which do not depend on the machine."""
    async with session(database_url) as backup, session(database_url) as writer:
        await backup.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await backup.execute("SELECT count(*) FROM outbox")
        pages: list[tuple[int, int]] = []
        floor = NO_FLOOR
        for _ in range(3):
            for _ in range(5):
                await insert(writer, "ann", 2000)
                await writer.commit()
                await deliver(database_url)
            floor = await looked(rt, floor)
            await insert(writer, "ann", 500)
            await writer.commit()
            pages.append((await _pages(database_url, NO_FLOOR), await _pages(database_url, floor)))
            await deliver(database_url)
    without, with_ = zip(*pages, strict=True)
    assert without[2] > without[0] + 300
    assert with_[2] < with_[0] + 30


async def _pages(url: str, floor: Floor) -> int:
    """Pages that the relay's own query touches."""
    asked: list[tuple[Any, Any]] = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        async with snapshot(connection) as tx:
            ask = tx.ask

            async def keep(sql: str, parameters: Any = ()) -> Any:
                asked.append((sql, parameters))
                return await ask(sql, parameters)

            tx.ask = keep  # type: ignore[method-assign]
            found = await unsent_ids(tx, ReadBatch(shards=ALL, floor=floor, limit=500))
            assert len(found) == 500
        async with connection.transaction():
            for sql, parameters in asked[:-1]:
                await connection.execute(sql, parameters)
            sql, parameters = asked[-1]
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
            rows = await (await connection.execute(explain.encode(), parameters)).fetchall()
    plan = rows[0][0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


# ---- rows that stay --------------------------------------------------------------------------------------------


async def test_a_job_that_waits_for_its_time_is_named_and_does_not_hold_the_floor(
    rt: Runtime, database_url: str
) -> None:
    later = Event(
        type="billing.job.send_notification",
        subject="ntf_1",
        partition_key="ann",
        data={},
        topic=JOBS,
        available_at=await rt.clock() + timedelta(minutes=2),
    )
    await post(rt, later)
    await post(rt, *facts("bob", 50))
    async with session(database_url) as relay:
        await relay.execute("DELETE FROM outbox WHERE partition_key = 'bob'")
    floor = await looked(rt)
    assert (floor.id, floor.named) == (52, [1])
    assert await readable_ids(rt, floor) == []
    await ahead(rt, timedelta(minutes=3))
    assert await readable_ids(rt, floor) == [1]
    await deliver(database_url)
    assert (await looked(rt, floor, 1)).named == []


async def test_many_rows_that_stay_hold_the_floor_at_the_first_that_is_not_named(rt: Runtime) -> None:
    count = NAMED_MAX + 50
    await post(rt, *facts("ann", count))
    floor = await looked(rt)
    assert (floor.id, list(floor.named)) == (NAMED_MAX + 1, list(range(1, NAMED_MAX + 1)))
    again = await looked(rt, floor, 3)
    assert (again.id, again.named) == (floor.id, floor.named)
    assert await readable_ids(rt, floor) == list(range(1, count + 1))
    assert await rt.read(unsent_ids, ReadBatch(shards=ALL, floor=floor, limit=210)) == list(range(1, 211))


async def test_a_row_below_the_floor_is_found_when_the_whole_outbox_is_looked_at(
    rt: Runtime, database_url: str
) -> None:
    await post(rt, *facts("ann", 10))
    await deliver(database_url)
    floor = await looked(rt)
    async with session(database_url) as operator:  # the rule is broken by hand
        await operator.execute("ALTER TABLE outbox ALTER COLUMN id RESTART WITH 4")
    await post(rt, *facts("bob", 1))
    assert await readable_ids(rt, floor) == []
    moving = MovingFloor(rt, rows=10_000, whole_s=0.0)
    moving.now = await looked(rt, floor, 1)
    await moving.follow()
    assert await readable_ids(rt, moving.now) == [4]
    await post(rt, *facts("bob", 1, first=2))  # and the floor follows the sequence back
    assert await readable_ids(rt, moving.now) == [4, 5]


async def test_a_prepared_transaction_holds_the_floor(server_folders: Callable[[], Any]) -> None:
    settings = {"max_prepared_transactions": "2", "fsync": "off"}
    with EmbeddedPostgres(server_folders(), settings=settings) as server:
        url = server.create_database("prepared")
        prepare(url)
        rt = await Runtime.open(own_settings(url))
        try:
            async with session(url) as slow:
                (low,) = await insert(slow, "slow")
                await slow.execute("PREPARE TRANSACTION 'slow'")
            await post(rt, *facts("ann", 5))
            await deliver(url)
            floor = await looked(rt, times=4)
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
                await other.execute("COMMIT PREPARED 'slow'")
            assert await readable_ids(rt, floor) == [low]
        finally:
            await rt.aclose()


async def test_the_relay_s_role_may_raise_the_floor(open_runtime: OpenRuntime, database_url: str) -> None:
    relay = await open_runtime(role_url(database_url, Role.RELAY))
    assert (await looked(relay)).mark
