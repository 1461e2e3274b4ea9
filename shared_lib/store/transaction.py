"""One transaction over many items: read and lock at once, decide in Python, write everything in one round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, Error

from shared_lib.store.pipeline import together

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]


class Question:
    """A query on its way."""

    def __init__(self, tx: Transaction, cursor: AsyncCursor[Row]) -> None:
        self._tx = tx
        self._cursor = cursor

    async def rows(self) -> list[Row]:
        rows = await self._cursor.fetchall()
        await self._tx.clock()  # it was asked before, so it has been answered
        return rows


class Transaction:
    """What a phase sees of the database."""

    def __init__(self, connection: AsyncConnection[Row], clock: AsyncCursor[Row]) -> None:
        self._connection = connection
        self._clock = clock
        self._now: datetime | None = None
        self._writes: list[tuple[str, Sequence[Any]]] = []

    @property
    def now(self) -> datetime:
        """The database's clock, fixed for the whole transaction. Available after the first query."""
        if self._now is None:
            raise RuntimeError("nothing was asked yet: await tx.clock() where the time is needed first")
        return self._now

    async def clock(self) -> datetime:
        """`now`, for a phase that needs it before its first question."""
        if self._now is None:
            row = await self._clock.fetchone()
            assert row is not None  # a SELECT without FROM has one row
            self._now = row[0]
        return self.now

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a query now and return its rows. What `later` has queued is not visible to it."""
        return await (await self.ask(sql, parameters)).rows()

    async def ask(self, sql: str, parameters: Parameters = ()) -> Question:
        """Send a query without waiting for its rows: questions asked before the first is awaited travel together.

        They are answered one after the other, each by what is committed at its turn.
        """
        return Question(self, await self._connection.execute(sql, parameters, binary=True))

    def later(self, sql: str, parameters: Sequence[Any]) -> None:
        """Queue a write until the phase has decided; all of them travel together, in this order."""
        self._writes.append((sql, parameters))

    async def flush(self) -> None:
        """Send what is queued. The transaction runner calls it before the commit."""
        writes, self._writes = self._writes, []
        for sql, parameters in writes:
            await self._connection.execute(sql, parameters)


@asynccontextmanager
async def transaction(
    connection: AsyncConnection[Row], *, begin: str = "BEGIN", lock_wait_s: float | None = None
) -> AsyncIterator[Transaction]:
    """BEGIN ... COMMIT around a phase; rolled back when it raises. The connection is in autocommit mode.

    In a pipeline nothing waits but a fetch: BEGIN travels with the clock and the first questions, the writes with the COMMIT.
    The driver's own transaction() would wait for each of these.

    `lock_wait_s` replaces the connection's lock_timeout.
    """
    try:
        async with together(connection):
            await connection.execute(begin, prepare=False)
            if lock_wait_s is not None:
                await connection.execute(
                    "SELECT set_config('lock_timeout', %s, true)", [str(round(lock_wait_s * 1000))]
                )
            tx = Transaction(connection, await connection.execute("SELECT boxoffice_now()", binary=True))
            yield tx
            await tx.flush()
            # Whatever fails before it makes the server skip it.
            await connection.execute("COMMIT", prepare=False)
    except BaseException:
        with suppress(Error):  # a broken connection has rolled back already
            await connection.rollback()
        raise


def snapshot(connection: AsyncConnection[Row]) -> AbstractAsyncContextManager[Transaction]:
    """A read-only transaction that sees one state of the world."""
    return transaction(connection, begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
