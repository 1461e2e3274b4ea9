"""Tasks with an owner: a task that ends early is logged and known to its owner, which answers the callers that wait for it.

A task that dies otherwise leaves its exception to the garbage collector, and its callers waiting. Every task of a door or a
worker is started here or in an asyncio.TaskGroup; a test finds others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, TypeVar

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
