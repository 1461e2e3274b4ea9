"""A partition, as long as it is ours: a lane for each key, worked off one record after the other, all lanes at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared_lib.workers.trigger.delivery import LeftError
from shared_lib.workers.trigger.envelope import Record
from shared_lib.workers.trigger.tracker import Tracker

# Returns when the record is done for good: taken by its door, or written to the dead letters. Raises LeftError when it
# finds, during a pause, that the partition has gone.
Work = Callable[[Record, asyncio.Event], Awaitable[None]]


class Claim:
    """The records of one partition that were polled and are not done.

    Records without a key promise no order among keys, only that of their partition: they share one lane, as all records
    of a partition do in KafkaSource.
    """

    def __init__(self, work: Work, settled: Callable[[], None]) -> None:
        self._work = work
        self._settled = settled
        self._tracker = Tracker()
        self._lanes: dict[bytes | None, deque[Record]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = asyncio.Event()
        self.queued = 0
        self.committed: int | None = None

    @property
    def position(self) -> int | None:
        return self._tracker.position

    @property
    def span(self) -> int:
        return self._tracker.span

    def take(self, record: Record) -> None:
        self._tracker.take(record.offset)
        self.queued += 1
        lane = self._lanes.get(record.key)
        if lane is not None:
            lane.append(record)
            return
        self._lanes[record.key] = deque((record,))
        task = asyncio.create_task(self._work_off(record.key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def leave(self, within_s: float) -> None:
        """Begin nothing more; wait, but not for ever, for the requests that are under way. `position` stands then."""
        self._left.set()
        if self._tasks and within_s > 0:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.queued = 0
        self._lanes.clear()

    async def _work_off(self, key: bytes | None) -> None:
        lane = self._lanes[key]
        with suppress(LeftError):
            while lane:
                if self._left.is_set():
                    return
                await self._work(lane[0], self._left)
                self._tracker.done(lane.popleft().offset)
                self.queued -= 1
                self._settled()
            del self._lanes[key]
