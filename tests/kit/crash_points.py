"""Where a process may stop: the boundaries around commits and provider calls, wrapped from outside.

`<phase>:before_commit`, `<phase>:after_commit`, `<provider call>:before`, `<provider call>:after`, `deliver:after`.
"""

from __future__ import annotations

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

Boundary = Callable[[str], Awaitable[None]]


class WatchedBatcher(Batcher):
    """Passes a boundary when everything is written but not committed, and another right after the commit."""

    def __init__(self, pool: AsyncConnectionPool[Any], *, writers: int, boundary: Boundary) -> None:
        super().__init__(pool, writers=writers)
        self._boundary = boundary

    async def _attempt(self, phase: Phase[Any, Any], items: Sequence[Any], limits: Limits) -> Sequence[Any]:
        async def until_commit(tx: Transaction, items: Sequence[Any]) -> Sequence[Any]:
            answers = await phase(tx, items)
            await tx.flush()
            await self._boundary(f"{phase.__name__}:before_commit")
            return answers

        answers = await super()._attempt(until_commit, items, limits)
        await self._boundary(f"{phase.__name__}:after_commit")
        return answers


class WatchedProvider:
    """A provider client that passes a boundary before and after each of its calls."""

    def __init__(self, inner: PaymentProvider, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **more: Any) -> Any:
            await self._boundary(f"{name}:before")
            answer = await found(*args, **more)
            await self._boundary(f"{name}:after")
            return answer

        return call


class WatchedSink:
    """A sink that passes a boundary once an event was acknowledged."""

    def __init__(self, inner: Sink, boundary: Boundary) -> None:
        self._inner = inner
        self._boundary = boundary

    async def deliver(self, event: Outgoing) -> None:
        await self._inner.deliver(event)
        await self._boundary("deliver:after")


def watch(rt: Runtime, boundary: Boundary) -> None:
    """Put boundaries around everything this runtime commits and asks."""
    rt._batcher = WatchedBatcher(rt._pool, writers=rt.settings.writers, boundary=boundary)
    rt.providers = {
        name: cast("PaymentProvider", WatchedProvider(client, boundary))
        for name, client in rt.providers.items()
    }
