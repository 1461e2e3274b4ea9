"""Where a process may be killed: crash points before and after commits and provider calls, wrapped around the code from outside.

`<phase>:before_commit`, `<phase>:after_commit`, `<provider call>:before`, `<provider call>:after`, `deliver:after`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from psycopg_pool import AsyncConnectionPool

from shared_lib.providers.base import PaymentProvider
from shared_lib.runtime import Runtime
from shared_lib.store.batch import Batcher, Phase
from shared_lib.store.bounds import Limits
from shared_lib.store.outbox import Outgoing
from shared_lib.store.transaction import Transaction
from shared_lib.workers.sink import Sink

CrashPoint = Callable[[str], Awaitable[None]]


class Pause:
    """Holds the process that reaches a crash point first, until the test lets it go on."""

    def __init__(self, crash_point: str) -> None:
        self._crash_point = crash_point
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, crash_point: str) -> None:
        if crash_point == self._crash_point and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()


class WatchedBatcher(Batcher):
    """Passes a crash point when everything is written but not committed, and another right after the commit."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, writers: int, crash_point: CrashPoint) -> None:
        super().__init__(pool, writers=writers)
        self._crash_point = crash_point

    async def _attempt(self, phase: Phase[Any, Any], items: Sequence[Any], limits: Limits) -> Sequence[Any]:
        async def until_commit(tx: Transaction, items: Sequence[Any]) -> Sequence[Any]:
            answers = await phase(tx, items)
            await tx.flush()
            await self._crash_point(f"{phase.__name__}:before_commit")
            return answers

        answers = await super()._attempt(until_commit, items, limits)
        await self._crash_point(f"{phase.__name__}:after_commit")
        return answers


class WatchedProvider:
    """A provider client that passes a crash point before and after each of its calls."""

    def __init__(self, inner: PaymentProvider, crash_point: CrashPoint) -> None:
        self._inner = inner
        self._crash_point = crash_point

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **more: Any) -> Any:
            await self._crash_point(f"{name}:before")
            answer = await found(*args, **more)
            await self._crash_point(f"{name}:after")
            return answer

        return call


class WatchedSink:
    """A sink that passes a crash point once an event was acknowledged."""

    def __init__(self, inner: Sink, crash_point: CrashPoint) -> None:
        self._inner = inner
        self._crash_point = crash_point

    async def deliver(self, event: Outgoing) -> None:
        await self._inner.deliver(event)
        await self._crash_point("deliver:after")


def watch(rt: Runtime, crash_point: CrashPoint) -> None:
    """Put crash points around every commit and provider call of this runtime."""
    rt._batcher = WatchedBatcher(rt._pool, writers=rt.settings.writers, crash_point=crash_point)
    rt.providers = {
        name: cast("PaymentProvider", WatchedProvider(client, crash_point))
        for name, client in rt.providers.items()
    }
