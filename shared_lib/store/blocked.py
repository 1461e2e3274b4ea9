"""A batch that met a lock which is kept for long: all that can be committed is, and only the blocked items wait.

The batch is halved until blocked items stand alone. They are tried until their time is over, on one writer at a time, so
that those who do not need the locked row always find another.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from psycopg import errors

from shared_lib.domain.errors import Transient
from shared_lib.owned import owned

# How long a blocked item is tried before its caller is asked to come back.
PATIENCE_S: Final = 4.0
PAUSE_S: Final = 0.2
# While a lock is known to be kept, nothing waits long for it.
CAUTION_S: Final = 5.0
CAUTIOUS_LOCK_WAIT_S: Final = 0.1

# Waiting for a lock, or a statement, took longer than bounds.py allows.
BLOCKED_FOR_LONG: Final = (errors.LockNotAvailable, errors.QueryCanceled)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Waiting:
    """An item on its way, and the future its caller awaits. `since` is the time of the event loop."""

    item: Any
    answer: asyncio.Future[Any]
    since: float


# One try of some items. Returns those that are still blocked.
Probe = Callable[[Any, Sequence[Waiting], float], Awaitable[list[Waiting]]]


class Sorting:
    """Sorts blocked batches out. Every item handed to `start` gets its answer or an exception."""

    def __init__(self, probe: Probe, *, writers: int) -> None:
        self._probe = probe
        # Apart: those that are only in the same batch must not queue behind those that are blocked.
        self._parts = asyncio.Semaphore(max(1, writers // 2))
        self._patient = asyncio.Semaphore(1)
        self._cautious_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def lock_wait_s(self) -> float | None:
        """How long a batch may wait for a lock now. None: as long as the connection says."""
        if not self._cautious_until or asyncio.get_running_loop().time() > self._cautious_until:
            return None
        return CAUTIOUS_LOCK_WAIT_S

    def start(self, phase: Any, batch: Sequence[Waiting]) -> None:
        task = owned(
            self._sort_out(phase, batch),
            name="sort-out",
            died=partial(refuse, batch),
            context=Context(),
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sort_out(self, phase: Any, batch: Sequence[Waiting]) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        self._be_cautious()
        try:
            async with asyncio.timeout_at(deadline):
                blocked = await self._commit_the_others(phase, batch)
                await asyncio.gather(*(self._try_patiently(phase, it) for it in blocked))
        except TimeoutError:
            log.warning(
                "blocked_by_a_lock", phase=phase.__name__, items=sum(not it.answer.done() for it in batch)
            )
        refuse(batch, Transient("another transaction has locked what this needs"))

    async def _commit_the_others(self, phase: Any, batch: Sequence[Waiting]) -> list[Waiting]:
        """Commit every part that is not blocked. Returns the items that are."""
        if len(batch) == 1:
            return list(batch)
        alone, parts = [], deque(_halves(batch))
        while parts:
            async with self._parts:
                blocked = await self._probe(phase, parts.popleft(), CAUTIOUS_LOCK_WAIT_S)
            if len(blocked) == 1:
                alone += blocked
            elif blocked:
                parts.extend(_halves(blocked))
        return alone

    async def _try_patiently(self, phase: Any, it: Waiting) -> None:
        while not it.answer.done():
            await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
            async with self._patient:
                if await self._probe(phase, [it], CAUTIOUS_LOCK_WAIT_S):
                    self._be_cautious()

    def _be_cautious(self) -> None:
        self._cautious_until = asyncio.get_running_loop().time() + CAUTION_S


def _halves(part: Sequence[Waiting]) -> list[Sequence[Waiting]]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]]


def refuse(batch: Iterable[Waiting], error: Exception) -> None:
    """Let those who still wait hear the error."""
    for it in batch:
        if not it.answer.done():
            it.answer.set_exception(error)
