"""A row that is locked for long, a server that does not answer: only those who need it wait, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest

from shared_lib.domain.errors import Transient
from shared_lib.store import blocked as blocked_items
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.transaction import Transaction
from tests.kit.proxy import proxy_to
from tests.kit.waiting import PATIENCE_S

TABLE = """
    CREATE TABLE rooms (n int PRIMARY KEY, visits int NOT NULL DEFAULT 0);
    INSERT INTO rooms SELECT n FROM generate_series(0, 99) AS n;
    CREATE FUNCTION boxoffice_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
"""
# No test waits as long when all is well; without the protection it would be without end.
GUARD_S = 45


@pytest.fixture
def rooms_url(empty_database_url: str) -> str:
    with psycopg.connect(empty_database_url, autocommit=True) as db:
        db.execute(TABLE)
    return empty_database_url


@asynccontextmanager
async def opened(url: str, *, writers: int = 4, attempt_s: float = 8.0) -> AsyncIterator[Batcher]:
    pool = connection_pool(url, connections_max=writers + 1, timeout_s=2.0)
    await pool.open()
    try:
        yield Batcher(pool, writers=writers, attempt_s=attempt_s)
    finally:
        await pool.close()


@contextmanager
def locked(url: str, n: int) -> Iterator[None]:
    with psycopg.connect(url) as db:
        db.execute("SELECT 1 FROM rooms WHERE n = %s FOR UPDATE", [n])
        yield
        db.rollback()


async def visit(tx: Transaction, rooms: Sequence[int]) -> list[int]:
    await tx.fetch("SELECT n FROM rooms WHERE n = ANY(%s) ORDER BY n FOR UPDATE", [list(set(rooms))])
    tx.later("UPDATE rooms SET visits = visits + 1 WHERE n = ANY(%s)", [list(set(rooms))])
    return list(rooms)


async def leave(tx: Transaction, rooms: Sequence[int]) -> list[int]:
    """Another phase that needs the same rows."""
    return await visit(tx, rooms)


async def count(tx: Transaction, _: None) -> int:
    return len(await tx.fetch("SELECT n FROM rooms"))


async def dawdle(tx: Transaction, seconds: float) -> None:
    await tx.fetch("SELECT pg_sleep(%s)", [seconds])


def visited(url: str) -> list[int]:
    with psycopg.connect(url) as db:
        return [row[0] for row in db.execute("SELECT n FROM rooms WHERE visits > 0 ORDER BY n").fetchall()]


async def test_only_the_items_that_need_a_locked_row_wait_for_it(rooms_url: str) -> None:
    async with opened(rooms_url) as batcher, asyncio.timeout(GUARD_S):
        with locked(rooms_url, 7):
            answers = await asyncio.gather(
                *(batcher.run(visit, n) for n in range(64)), return_exceptions=True
            )
        assert [n for n, answer in enumerate(answers) if isinstance(answer, Transient)] == [7]
        assert [answer for answer in answers if not isinstance(answer, Transient)] == [
            *range(7),
            *range(8, 64),
        ]
        assert await batcher.run(visit, 7) == 7
    assert visited(rooms_url) == list(range(64))


@pytest.mark.parametrize("writers", [1, 2, 4])
async def test_many_who_wait_for_a_lock_leave_writers_to_the_others(
    rooms_url: str, writers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is, the others are through while the lock is still waited for.
    monkeypatch.setattr(blocked_items, "PATIENCE_S", PATIENCE_S)
    async with opened(rooms_url, writers=writers) as batcher, asyncio.timeout(GUARD_S):
        with locked(rooms_url, 7):
            blocked = []
            for phase in (visit, leave):
                for _ in range(6):
                    blocked.append(asyncio.create_task(batcher.run(phase, 7)))
                    await asyncio.sleep(0)  # one batch each, as long as writers are free
            others = await asyncio.gather(*(batcher.run(visit, n) for n in range(8, 30)))
            assert others == list(range(8, 30))
            assert not any(task.done() for task in blocked)
        assert await asyncio.gather(*blocked) == [7] * 12


async def test_an_item_is_committed_when_the_lock_goes_in_time(rooms_url: str) -> None:
    async with opened(rooms_url) as batcher, asyncio.timeout(GUARD_S):
        with locked(rooms_url, 7):
            waiting = asyncio.create_task(batcher.run(visit, 7))
            while batcher._sorting.lock_wait_s is None:  # noqa: ASYNC110  # until it is known that the lock is kept
                await asyncio.sleep(0.01)
            assert not waiting.done()
        assert await waiting == 7


async def test_a_chunk_keeps_what_is_not_blocked(rooms_url: str) -> None:
    async with opened(rooms_url) as batcher, asyncio.timeout(GUARD_S):
        with locked(rooms_url, 7), pytest.raises(Transient):
            await batcher.run_all(visit, list(range(64)))
    assert visited(rooms_url) == [*range(7), *range(8, 64)]


async def test_a_server_that_falls_silent_is_given_up(rooms_url: str) -> None:
    with proxy_to(rooms_url) as wire:
        async with opened(wire.url, attempt_s=0.5) as batcher, asyncio.timeout(GUARD_S):
            assert await batcher.run(visit, 1) == 1
            wire.silent = True
            calls = [batcher.run(visit, n) for n in range(40)] + [
                batcher.read(count, None) for _ in range(10)
            ]
            heard = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(answer) for answer in heard} == {Transient}
            wire.silent = False
            while True:  # the pool connects again in its own time
                try:
                    assert await batcher.run(visit, 2) == 2
                    break
                except Transient:
                    await asyncio.sleep(0.05)
    assert visited(rooms_url) == [1, 2]


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(rooms_url: str) -> None:
    async with opened(rooms_url) as batcher, asyncio.timeout(GUARD_S):
        with pytest.raises(Transient, match="takes too long"):  # not: was cut
            await batcher.read(dawdle, 60.0)
        assert await batcher.read(count, None) == 100


async def test_calls_that_are_given_up_give_their_connections_back(rooms_url: str) -> None:
    async with opened(rooms_url, writers=1) as batcher, asyncio.timeout(GUARD_S):
        for _ in range(10):  # more than there are connections
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await batcher.read(dawdle, 60.0)
        assert await asyncio.gather(*(batcher.read(count, None) for _ in range(10))) == [100] * 10
        assert await batcher.run(visit, 1) == 1


async def test_time_outs_are_set_by_the_connection_and_the_operator_has_the_last_word(rooms_url: str) -> None:
    async def shown(tx: Transaction, _: None) -> list[str]:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [(await tx.fetch(f"SHOW {name}"))[0][0] for name in names]

    async with opened(rooms_url) as batcher:
        assert await batcher.read(shown, None) == ["500ms", "5s", "15s"]
    async with opened(f"{rooms_url}?options=-c%20lock_timeout%3D3s") as batcher:
        assert await batcher.read(shown, None) == ["3s", "5s", "15s"]
    pool = connection_pool(rooms_url, connections_max=1, bounded=False)
    await pool.open()
    try:
        assert await Batcher(pool, writers=1).read(shown, None) == ["0", "0", "0"]
    finally:
        await pool.close()


@pytest.mark.parametrize(
    "url", ["", "garbage", "postgresql://ann:hunter2@[bad/x", "host=x port=hunter2 what=1"]
)
def test_an_address_that_cannot_be_read_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match="database_url is not an address") as refused:
        connection_pool(url, connections_max=1)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


async def test_a_process_that_freezes_within_a_transaction_keeps_its_locks_for_seconds_only(
    rooms_url: str,
) -> None:
    """The loop stands still while the transaction is open: to the server a pipeline looks busy, not idle."""

    async def freeze(tx: Transaction, rooms: Sequence[int]) -> list[int]:
        await visit(tx, rooms)
        with psycopg.connect(rooms_url, options=f"-c statement_timeout={GUARD_S * 1000}") as other:
            other.execute("UPDATE rooms SET visits = 100 WHERE n = %s", [rooms[0]])  # blocks the loop itself
        return list(rooms)

    async with opened(rooms_url, attempt_s=2 * GUARD_S) as batcher:
        with pytest.raises(Transient):
            await batcher.run(freeze, 1)
    with psycopg.connect(rooms_url) as db:
        assert db.execute("SELECT visits FROM rooms WHERE n = 1").fetchone() == (100,)
