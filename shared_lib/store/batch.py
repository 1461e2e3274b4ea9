"""The coalescer: whatever waits at this moment is committed as one batch.

A door has one item and calls `run`. Alone it goes at once; while all writers are busy items gather, so the busier the
instance, the bigger the batches. There is no timer. One bad item never fails its neighbours: a refusal is a value at
its place, and when the database refuses a whole batch it is halved until the culprit stands alone.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import structlog
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared_lib.domain.errors import Transient
from shared_lib.store.transaction import Row, Transaction, snapshot, transaction

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Phase = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]]
Query = Callable[[Transaction, Item], Awaitable[Answer]]

# More would save little, and keep everybody in it waiting while the processor has nothing to do.
BATCH_MAX = 32

# Waits between tries of a batch that lost a race; a batch is idempotent, so it may simply run again.
RETRY_DELAYS_S = (0.005, 0.02, 0.08, 0.3)
# A connection that broke says nothing about its COMMIT: the phase runs again and finds its own rows (or makes them).
RECONNECT_DELAYS_S = (0.05, 0.2, 0.8)

_LOST_RACES = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
# Somebody committed between our read and our write: read again and decide anew.
_COLLISIONS = (errors.UniqueViolation, errors.ExclusionViolation)
_DISCONNECTED = (errors.OperationalError, errors.InterfaceError)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Failed:
    """The place of an item whose own data made the phase raise."""

    error: Exception


@dataclass(slots=True)
class _Lane:
    """The queue of one phase."""

    phase: Phase[Any, Any]
    waiting: deque[tuple[Any, asyncio.Future[Any]]] = field(default_factory=deque)
    drains: set[asyncio.Task[None]] = field(default_factory=set)


class Batcher:
    """Runs phases on at most `writers` connections of the pool."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, writers: int) -> None:
        self._pool = pool
        self._writers = writers
        self._free = asyncio.Semaphore(writers)
        self._lanes: dict[Phase[Any, Any], _Lane] = {}

    async def run(self, phase: Phase[Item, Answer], item: Item) -> Answer:
        """Commit one item, together with whatever else waits. Raises Transient when nothing could be decided."""
        lane = self._lanes.get(phase)
        if lane is None:
            lane = self._lanes[phase] = _Lane(phase)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lane.waiting.append((item, answer))
        if len(lane.drains) < self._writers:
            # In a context of its own: its log lines are not those of the request that happened to start it.
            drain = asyncio.create_task(self._drain(lane), context=Context())
            lane.drains.add(drain)
        return await answer

    async def run_all(self, phase: Phase[Item, Answer], items: Sequence[Item]) -> list[Answer]:
        """Commit many items that belong together as one batch. The first failed item's error is raised."""
        answers = await self._commit(phase, items)
        for answer in answers:
            if isinstance(answer, _Failed):
                raise answer.error
        return cast("list[Answer]", answers)

    async def read(self, query: Query[Item, Answer], item: Item) -> Answer:
        """Answer a question from one consistent state of the database, without locks."""
        try:
            async with self._pool.connection() as connection, snapshot(connection) as tx:
                return await query(tx, item)
        except _DISCONNECTED as error:
            raise Transient("the database is not reachable") from error

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._drain_once(lane)
        finally:
            # Here, with no turn of the loop since nothing was waiting: a done callback comes later, and whoever is
            # woken in between would count on a drain that has ended, and wait for ever.
            lane.drains.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _drain_once(self, lane: _Lane) -> None:
        async with self._free:
            batch = [lane.waiting.popleft() for _ in range(min(BATCH_MAX, len(lane.waiting)))]
            if not batch:
                return
            try:
                answers = await self._commit(lane.phase, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001  # every waiting request must hear of it
                answers = [_Failed(error)] * len(batch)
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if waiting.done():  # the request went away; its work is committed all the same
                continue
            if isinstance(answer, _Failed):
                waiting.set_exception(answer.error)
            else:
                waiting.set_result(answer)

    async def _commit(self, phase: Phase[Any, Any], items: Sequence[Any]) -> Sequence[Any]:
        races, reconnects = iter(RETRY_DELAYS_S), iter(RECONNECT_DELAYS_S)
        while True:
            try:
                return await self._attempt(phase, items)
            except (*_LOST_RACES, *_COLLISIONS) as error:
                if isinstance(error, _COLLISIONS) and len(items) > 1:
                    return await self._halves(phase, items)
                delay_s = next(races, None)
                if delay_s is None:
                    return await self._alone(phase, items, error)
            except PoolTimeout as error:  # it has waited long enough already
                raise Transient("the database is not reachable") from error
            except _DISCONNECTED as error:
                delay_s = next(reconnects, None)
                if delay_s is None:
                    raise Transient("the database is not reachable") from error
            except Exception as error:  # noqa: BLE001  # sorted out item by item
                return await self._alone(phase, items, error)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))

    async def _alone(self, phase: Phase[Any, Any], items: Sequence[Any], error: Exception) -> Sequence[Any]:
        if len(items) > 1:
            return await self._halves(phase, items)
        log.error("phase_failed", phase=phase.__name__, error=repr(error))
        return [_Failed(error)]

    async def _halves(self, phase: Phase[Any, Any], items: Sequence[Any]) -> Sequence[Any]:
        middle = len(items) // 2
        first = await self._commit(phase, items[:middle])
        return [*first, *await self._commit(phase, items[middle:])]

    async def _attempt(self, phase: Phase[Any, Any], items: Sequence[Any]) -> Sequence[Any]:
        async with self._pool.connection() as connection, transaction(connection) as tx:
            answers = await phase(tx, items)
            if len(answers) != len(items):
                raise RuntimeError(f"{phase.__name__} answered {len(answers)} of {len(items)} items")
            return answers


def connection_pool(url: str, *, connections_max: int, timeout_s: float = 5.0) -> AsyncConnectionPool[Any]:
    """A pool that is opened by the warm instance, never at import. Connections prove themselves before use."""
    return AsyncConnectionPool[Any](
        url,
        min_size=1,
        max_size=connections_max,
        open=False,
        timeout=timeout_s,
        # Its pauses between attempts double up to this; by default an outage of minutes would last minutes longer.
        reconnect_timeout=3.0,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 3,
            "connect_timeout": 3,
            "application_name": "boxoffice",
        },
    )


__all__ = ["Batcher", "Phase", "Row", "connection_pool"]
