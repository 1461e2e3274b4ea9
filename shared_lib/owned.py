"""Tasks with an owner: a task that ends early is logged and known to its owner, which answers the callers that wait for it.

A task that dies otherwise leaves its exception to the garbage collector, and its callers waiting. Every task of a door or a
worker is started here or in an asyncio.TaskGroup; a test finds others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Generic, TypeVar

import structlog

from shared_lib.domain.errors import Transient

Result = TypeVar("Result")

log = structlog.get_logger("boxoffice")


def owned(
    work: Coroutine[Any, Any, None],
    *,
    name: str,
    died: Callable[[Exception], None],
    context: Context | None = None,
) -> asyncio.Task[None]:
    """Start a task that serves callers of its owner.

    When it ends by an exception or is cancelled, even before its first step, the log says `task_died` and `died` is called
    one turn of the loop later. Its argument is what callers that wait are to get: the exception, or Transient in place of
    one that would end their tasks too (cancellation, SystemExit).
    """
    task = asyncio.create_task(work, name=name, context=context)

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            log.info("task_died", task=name, error="CancelledError")  # the process ends, or the owner does
            died(Transient("the task that serves this was stopped"))
        elif error := task.exception():
            log.error("task_died", task=name, error=type(error).__name__, exc_info=error)
            died(
                error if isinstance(error, Exception) else Transient("the task that serves this was stopped")
            )

    task.add_done_callback(ended)
    return task


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, Result]) -> AsyncIterator[list[asyncio.Task[Result]]]:
    """Run tasks beside the block, which reads their results. Those that still run at its end are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Together(Generic[Result]):
    """Tasks under way at the same time, none of which ends because another one failed. `together` makes it."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Result]] = []

    def start(self, work: Coroutine[Any, Any, Result]) -> None:
        """Begin this work beside what is under way."""
        self._tasks.append(asyncio.create_task(work))

    async def until_below(self, count: int) -> None:
        """Return as soon as fewer than `count` tasks are under way."""
        while len(busy := [task for task in self._tasks if not task.done()]) >= count:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)

    async def ended(self) -> None:
        """Return when no task is under way."""
        await self.until_below(1)

    def results(self) -> list[Result]:
        """What the tasks returned, in the order of their start. Raises the error of the first one that failed."""
        return [task.result() for task in self._tasks]


@asynccontextmanager
async def together() -> AsyncIterator[Together[Any]]:
    """Start tasks in the block. At its end, however it ends, each of them has ended too."""
    tasks = Together[Any]()
    try:
        yield tasks
    finally:
        await tasks.ended()
