"""One transaction over many items: read and lock at once, decide in Python, write everything in one round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, IsolationLevel

Row = tuple[Any, ...]


class Transaction:
    """What a phase sees of the database. `now` is the database's clock, fixed for the whole transaction."""

    def __init__(self, connection: AsyncConnection[Row], now: datetime) -> None:
        self.now = now
        self._connection = connection
        self._writes: list[tuple[str, Sequence[Any]]] = []

    async def fetch(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run a query now and return its rows. What was put off by `later` is not visible to it."""
        cursor = await self._connection.execute(sql, parameters, binary=True)
        return await cursor.fetchall()

    def later(self, sql: str, parameters: Sequence[Any]) -> None:
        """Put a write off until the phase has decided; all of them travel together, in this order."""
        self._writes.append((sql, parameters))

    async def flush(self) -> None:
        """Send what was put off. The transaction runner calls it before the commit."""
        writes, self._writes = self._writes, []
        for sql, parameters in writes:
            await self._connection.execute(sql, parameters)


@asynccontextmanager
async def transaction(connection: AsyncConnection[Row]) -> AsyncIterator[Transaction]:
    """BEGIN ... COMMIT around a phase; rolled back when it raises.

    In a pipeline nothing waits but a fetch: BEGIN travels with the first question, the writes with the COMMIT.
    """
    async with connection.pipeline(), connection.transaction():
        cursor = await connection.execute("SELECT boxoffice_now()", binary=True)
        row = await cursor.fetchone()
        assert row is not None  # a SELECT without FROM has one row
        tx = Transaction(connection, row[0])
        yield tx
        await tx.flush()


@asynccontextmanager
async def snapshot(connection: AsyncConnection[Row]) -> AsyncIterator[Transaction]:
    """A read-only transaction that sees one state of the world."""
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(value=True)
    try:
        async with transaction(connection) as tx:
            yield tx
    finally:
        await connection.set_isolation_level(None)
        await connection.set_read_only(None)
