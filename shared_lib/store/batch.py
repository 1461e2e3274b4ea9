"""The coalescer: whatever waits at this moment is committed as one batch.

A door has one item and calls `run`. A batch waits a few turns of the event loop for items that are nearly here, and while
all writers are busy items gather: alone means at once, and the busier the instance, the bigger the batches. There is no
timer. One bad item never fails its neighbours: a refusal is a value at its place, and when the database refuses a whole
batch it is halved until the culprit stands alone.

A batch that meets a row which is locked for long gives its writer back and is sorted out beside the others (blocked.py).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

import structlog
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared_lib.domain.errors import Transient, Unstorable
from shared_lib.domain.values import Value
from shared_lib.owned import owned
from shared_lib.store.blocked import BLOCKED_FOR_LONG, Sorting, Waiting, refuse
from shared_lib.store.bounds import ATTEMPT_S, Limits, bound, connection_pool
from shared_lib.store.transaction import Row, Transaction, snapshot, transaction

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Phase = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]]
Query = Callable[[Transaction, Item], Awaitable[Answer]]

# More would save little, and keep every caller in it waiting while the processor has nothing to do.
BATCH_MAX = 32
# Turns of the event loop that a batch waits for more. A turn takes as long as the loop has work to do, and most of that work
# is requests on their way to a phase; an idle loop turns at once. Figures in decision 0003.
GATHER_TURNS: Final = 3

# Waits between tries of a batch that lost a race; a batch is idempotent, so it may simply run again.
RETRY_DELAYS_S = (0.005, 0.02, 0.08, 0.3)
# A connection that broke says nothing about its COMMIT: the phase runs again and finds its own rows (or makes them).
RECONNECT_DELAYS_S = (0.05, 0.2, 0.8)
# An item that no writer took up within this time is refused: its caller has other things to do than to wait.
QUEUE_MAX_S = 15.0

_LOST_RACES = (errors.SerializationFailure, errors.DeadlockDetected)
# Another transaction committed between our read and our write: read again and decide again.
_COLLISIONS = (errors.UniqueViolation, errors.ExclusionViolation)
_DISCONNECTED = (errors.OperationalError, errors.InterfaceError, errors.IdleInTransactionSessionTimeout)
# The value itself is refused: NUL, half a surrogate pair, a number or a key that no column or index takes.
_UNSTORABLE = (errors.DataError, UnicodeEncodeError, errors.ProgramLimitExceeded)
# The place of an item that needs a row which is locked for long.
_BLOCKED: Final = object()

log = structlog.get_logger(__name__)


class Failed(Value):
    """The place of an item whose own data made the phase raise."""

    error: BaseException

    @property
    def may_pass(self) -> bool:
        """It says nothing about the item: the database was away, or others held its rows for too long."""
        return isinstance(self.error, (Transient, *_LOST_RACES, *_DISCONNECTED))


class _NoAnswerError(Exception):
    """The server did not answer within the time of a transaction, and the connection was cut."""


@dataclass(slots=True)
class _Lane:
    """The queue of one phase."""

    phase: Phase[Any, Any]
    waiting: deque[Waiting] = field(default_factory=deque)
    drains: set[asyncio.Task[None]] = field(default_factory=set)


class Batcher:
    """Runs phases on at most `writers` connections of the pool."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, writers: int, attempt_s: float = ATTEMPT_S) -> None:
        self._pool = pool
        self._writers = writers
        self._attempt_s = attempt_s
        self._free = asyncio.Semaphore(writers)
        self._lanes: dict[Phase[Any, Any], _Lane] = {}
        self._sorting = Sorting(self._probe, writers=writers)

    async def run(self, phase: Phase[Item, Answer], item: Item) -> Answer:
        """Commit one item, together with whatever else waits. Raises Transient when nothing could be decided."""
        lane = self._lanes.get(phase)
        if lane is None:
            lane = self._lanes[phase] = _Lane(phase)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        lane.waiting.append(Waiting(item, answer, loop.time()))
        if len(lane.waiting) == 1:  # else a drain is about to take what waits, or all of them are busy
            self._serve(lane)
        return await answer

    async def run_all(self, phase: Phase[Item, Answer], items: Sequence[Item]) -> list[Answer]:
        """Commit many items that belong together as one batch. The first failed item's error is raised."""
        answers = await self.run_each(phase, items)
        for answer in answers:
            if isinstance(answer, Failed):
                raise answer.error
        return cast("list[Answer]", answers)

    async def run_each(self, phase: Phase[Item, Answer], items: Sequence[Item]) -> list[Answer | Failed]:
        """Commit many items as one batch. An item that cannot be committed has `Failed` at its place.

        The others are committed, whatever the culprit's error was: an exception of the phase or the database's no.
        Raises Transient when the database was away for all of them. Without items there is nothing to commit.
        """
        if not items:
            return []
        loop = asyncio.get_running_loop()
        batch = [Waiting(item, loop.create_future(), loop.time()) for item in items]
        await self._settle(phase, batch)
        if waiting := [it.answer for it in batch if not it.answer.done()]:  # blocked by a lock
            await asyncio.gather(*waiting, return_exceptions=True)
        answers = [Failed(error) if (error := it.answer.exception()) else it.answer.result() for it in batch]
        failed = [answer.error for answer in answers if isinstance(answer, Failed)]
        if failed and len(failed) == len(items) and all(isinstance(error, Transient) for error in failed):
            raise failed[0]
        return answers

    async def read(self, query: Query[Item, Answer], item: Item, *, within_s: float | None = None) -> Answer:
        """Answer a question from one consistent state of the database, without locks."""
        try:
            async with self._pool.connection(timeout=within_s) as connection:
                with bound(connection, within_s or self._attempt_s):
                    async with snapshot(connection) as tx:
                        return await query(tx, item)
        except errors.QueryCanceled as error:
            raise Transient("the database takes too long") from error
        except _UNSTORABLE as error:
            raise Unstorable(type(error).__name__) from error
        except _DISCONNECTED as error:
            raise Transient("the database is not reachable") from error

    def _serve(self, lane: _Lane) -> None:
        if len(lane.drains) < self._writers:
            # In a context of its own: its log lines are not those of the request that happened to start it.
            drain = owned(
                self._drain(lane), name="drain", died=partial(self._drain_died, lane), context=Context()
            )
            lane.drains.add(drain)

    async def _drain(self, lane: _Lane) -> None:
        while lane.waiting:
            await self._drain_once(lane)
        # Here, with no turn of the loop since nothing was waiting: a done callback comes later, and a
        # caller that is woken in between would count on a drain that has ended, and never get its answer.
        lane.drains.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    @staticmethod
    def _drain_died(lane: _Lane, error: Exception) -> None:
        """Other drains of the lane serve those who wait; without one they are refused, and the next caller starts one."""
        lane.drains = {drain for drain in lane.drains if not drain.done()}
        if not lane.drains:
            refuse(lane.waiting, error)
            lane.waiting.clear()

    async def _drain_once(self, lane: _Lane) -> None:
        async with self._free:
            for _ in range(GATHER_TURNS):
                if len(lane.waiting) >= BATCH_MAX:
                    break
                await asyncio.sleep(0)
            batch = [lane.waiting.popleft() for _ in range(min(BATCH_MAX, len(lane.waiting)))]
            if lane.waiting:  # more than fit
                self._serve(lane)
            since = asyncio.get_running_loop().time() - QUEUE_MAX_S
            refuse([it for it in batch if it.since < since], Transient("the database is too busy"))
            if batch := [it for it in batch if not it.answer.done()]:
                await self._settle(lane.phase, batch)

    async def _settle(self, phase: Phase[Any, Any], batch: Sequence[Waiting]) -> None:
        """Give every item its answer, or hand those that are blocked to `Sorting`."""
        try:
            blocked = await self._try(phase, batch, self._sorting.lock_wait_s)
        except BaseException as error:  # every waiting request must hear of it
            refuse(batch, error if isinstance(error, Exception) else Transient("the writer was stopped"))
            if not isinstance(error, Exception):
                raise
        else:
            if blocked:
                self._sorting.start(phase, blocked)

    async def _probe(
        self, phase: Phase[Any, Any], batch: Sequence[Waiting], lock_wait_s: float
    ) -> list[Waiting]:
        """One try of a part of a blocked batch, on a writer as everything else. Returns what is still blocked."""
        async with self._free:
            return await self._try(phase, batch, lock_wait_s)

    async def _try(
        self, phase: Phase[Any, Any], batch: Sequence[Waiting], lock_wait_s: float | None
    ) -> list[Waiting]:
        limits = Limits(lock_wait_s, min(it.since for it in batch) + self._pool.timeout)
        answers = await self._commit(phase, [it.item for it in batch], limits)
        blocked = []
        for it, answer in zip(batch, answers, strict=True):
            if answer is _BLOCKED:
                blocked.append(it)
            elif not it.answer.done():  # else the request went away; its work is committed all the same
                if isinstance(answer, Failed):
                    it.answer.set_exception(answer.error)
                else:
                    it.answer.set_result(answer)
        return blocked

    async def _commit(self, phase: Phase[Any, Any], items: Sequence[Any], limits: Limits) -> Sequence[Any]:
        """What became of each item: its answer, Failed or _BLOCKED. Items after a failed half are committed too."""
        races, reconnects = iter(RETRY_DELAYS_S), iter(RECONNECT_DELAYS_S)
        while True:
            try:
                return await self._attempt(phase, items, limits)
            except (*_LOST_RACES, *_COLLISIONS) as error:
                if isinstance(error, _COLLISIONS) and len(items) > 1:
                    return await self._halves(phase, items, limits)
                delay_s = next(races, None)
                if delay_s is None:
                    return await self._alone(phase, items, error, limits)
            except _UNSTORABLE as error:
                return await self._alone(phase, items, error, limits)
            except BLOCKED_FOR_LONG:
                return [_BLOCKED] * len(items)
            except PoolTimeout:  # it has waited long enough already
                return [Failed(Transient("the database is not reachable"))] * len(items)
            except _NoAnswerError:
                return [Failed(Transient("the database does not answer"))] * len(items)
            except _DISCONNECTED:
                delay_s = next(reconnects, None)
                if delay_s is None:
                    return [Failed(Transient("the database is not reachable"))] * len(items)
            except Exception as error:  # noqa: BLE001  # sorted out item by item
                return await self._alone(phase, items, error, limits)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))

    async def _alone(
        self, phase: Phase[Any, Any], items: Sequence[Any], error: Exception, limits: Limits
    ) -> Sequence[Any]:
        if len(items) > 1:
            return await self._halves(phase, items, limits)
        if isinstance(error, _UNSTORABLE):
            log.warning("input_unstorable", phase=phase.__name__, error=type(error).__name__)
            refusal = Unstorable(type(error).__name__)
            refusal.__cause__ = error
            return [Failed(refusal)]
        # The first line alone: PostgreSQL's DETAIL repeats the row, and with it what a customer wrote.
        first_line = next(iter(str(error).splitlines()), "")
        log.error("phase_failed", phase=phase.__name__, error=f"{type(error).__name__}: {first_line}")
        return [Failed(error)]

    async def _halves(self, phase: Phase[Any, Any], items: Sequence[Any], limits: Limits) -> Sequence[Any]:
        middle = len(items) // 2
        first = await self._commit(phase, items[:middle], limits)
        return [*first, *await self._commit(phase, items[middle:], limits)]

    async def _attempt(self, phase: Phase[Any, Any], items: Sequence[Any], limits: Limits) -> Sequence[Any]:
        async with self._pool.connection(timeout=limits.connection_s()) as connection:
            with bound(connection, self._attempt_s) as limit:
                try:
                    async with transaction(connection, lock_wait_s=limits.lock_wait_s) as tx:
                        answers = await phase(tx, items)
                        if len(answers) != len(items):
                            raise RuntimeError(
                                f"{phase.__name__} answered {len(answers)} of {len(items)} items"
                            )
                        return answers
                except _DISCONNECTED as error:
                    if limit.exceeded:
                        raise _NoAnswerError from error
                    raise


__all__ = ["Batcher", "Failed", "Phase", "Row", "connection_pool"]
