"""Reads rows of the outbox although one may be unreadable: that one becomes a dead letter, the others are delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from psycopg import DataError

from shared_lib.domain.errors import Unstorable
from shared_lib.phases.records import BatchResult, delete_acknowledged
from shared_lib.runtime import Runtime
from shared_lib.store.transaction import Transaction

Ask = TypeVar("Ask")
Event = TypeVar("Event")
Query = Callable[[Transaction, Ask], Awaitable[list[Event]]]

# What decoding a value may raise, here or already translated by the coalescer.
UNREADABLE = (Unstorable, DataError, ValueError, ArithmeticError, RecursionError)

log = structlog.get_logger("boxoffice")


async def readable(
    rt: Runtime,
    query: Query[Ask, Event],
    ask: Ask,
    *,
    ids: Query[Ask, int],
    by_id: Query[Sequence[int], Event],
) -> list[Event]:
    """The rows of `query`; when a value cannot be decoded, the rows that can be. Raises Transient."""
    try:
        return await rt.read(query, ask)
    except UNREADABLE as error:
        if not _is_about_a_value(error):
            raise
        return await _around(rt, await rt.read(ids, ask), by_id)


async def _around(rt: Runtime, row_ids: Sequence[int], by_id: Query[Sequence[int], Event]) -> list[Event]:
    try:
        return await rt.read(by_id, row_ids) if row_ids else []
    except UNREADABLE as error:
        if not _is_about_a_value(error):
            raise
        if len(row_ids) == 1:
            log.exception("outbox_unreadable", row=row_ids[0])
            await rt.run(
                delete_acknowledged,
                BatchResult(acknowledged=(), refused={row_ids[0]: f"unreadable: {type(error).__name__}"}),
            )
            return []
        middle = len(row_ids) // 2
        first = await _around(rt, row_ids[:middle], by_id)
        return [*first, *await _around(rt, row_ids[middle:], by_id)]


def _is_about_a_value(error: Exception) -> bool:
    """The server reported no error (no sqlstate): it sent a value that Python cannot represent, such as `infinity`."""
    return getattr(error.__cause__ or error, "sqlstate", None) is None
