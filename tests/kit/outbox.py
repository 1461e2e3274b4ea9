"""Events to deliver, relays that deliver them, and a sink that records them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Protocol

from shared_lib.billing.events import Event
from shared_lib.runtime import Runtime
from shared_lib.store.outbox import Outgoing, publish
from shared_lib.store.transaction import Transaction
from tests.kit.clock import ADVANCE
from tests.kit.waiting import PATIENCE_S, until

ORDER_PAID = "billing.order.paid"


def facts(customer: str, count: int, *, first: int = 1, kind: str = ORDER_PAID) -> list[Event]:
    """Numbered facts about one order of a customer."""
    return [
        Event(type=kind, subject=f"ord_{customer}", sequence=n, partition_key=customer, data={"n": n})
        for n in range(first, first + count)
    ]


async def post_events(tx: Transaction, batches: Sequence[Sequence[Event]]) -> list[None]:
    """A phase that only publishes events."""
    await tx.clock()
    for events in batches:
        publish(tx, events)
    return [None] * len(batches)


async def post(rt: Runtime, *events: Event) -> None:
    await rt.run(post_events, events)


async def ahead(rt: Runtime, by: timedelta) -> None:
    await rt.run(_move_clock, by)


async def _move_clock(tx: Transaction, steps: Sequence[timedelta]) -> list[None]:
    tx.later(ADVANCE, [sum(steps, timedelta())])
    return [None] * len(steps)


async def waiting(rt: Runtime) -> int:
    return await rt.read(_waiting, None)


async def _waiting(tx: Transaction, _: None) -> int:
    return int((await tx.fetch("SELECT count(*) FROM outbox"))[0][0])


async def empty(rt: Runtime, within_s: float = PATIENCE_S) -> None:
    """Wait until the outbox is empty."""

    async def is_empty() -> bool:
        return await waiting(rt) == 0

    await until(is_empty, within_s)


class Runs(Protocol):
    """A relay: it delivers until `stop` is set."""

    async def run(self, stop: asyncio.Event) -> None: ...


@asynccontextmanager
async def running(*relays: Runs) -> AsyncIterator[None]:
    """Run the relays in this loop until the block ends."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


class RecordingSink:
    """A sink that records events. Returning acknowledges one; `answer` may give a NotNowError or NeverError to raise instead."""

    def __init__(
        self, answer: Callable[[Outgoing], Exception | None] = lambda _: None, *, slow_s: float = 0.0
    ) -> None:
        self.taken: list[Outgoing] = []
        self._answer = answer
        self._slow_s = slow_s

    async def deliver(self, event: Outgoing) -> None:
        if self._slow_s:
            await asyncio.sleep(self._slow_s)
        if refusal := self._answer(event):
            raise refusal
        self.taken.append(event)

    def heard(self) -> dict[str, list[int | None]]:
        """The sequence numbers of each customer's events, in the order of delivery."""
        found: dict[str, list[int | None]] = defaultdict(list)
        for event in self.taken:
            found[event.partition_key].append(event.sequence)
        return dict(found)
