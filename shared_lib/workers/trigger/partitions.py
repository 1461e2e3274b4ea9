"""The records of one partition while it is assigned to us: a lane for each key, in order; all lanes at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared_lib.owned import owned
from shared_lib.workers.trigger.delivery import PartitionRevoked
from shared_lib.workers.trigger.envelope import Record
from shared_lib.workers.trigger.tracker import Tracker

# Returns when the record is done: taken by its door, or written to the dead letters. Raises PartitionRevoked when the
# partition is taken away during a pause.
Work = Callable[[Record, asyncio.Event], Awaitable[None]]


class PartitionQueue:
    """Records that were polled and are not done.

    Records without a key share one lane, because only the partition orders them; in KafkaSource all records of a partition
    do. `died` hears of a lane that ended by an exception of `work`: its records are not done, and no task works on them.
    """

    def __init__(self, work: Work, settled: Callable[[], None], died: Callable[[Exception], None]) -> None:
        self._work = work
        self._settled = settled
        self._died = died
        self._tracker = Tracker()
        self._lanes: dict[bytes | None, deque[Record]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._revoked = asyncio.Event()
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
        task = owned(self._work_off(record.key), name="lane", died=self._lane_died)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, within_s: float) -> None:
        """Start nothing more, and wait up to `within_s` for requests in flight. `position` does not change afterwards."""
        self._revoked.set()
        if self._tasks and within_s > 0:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.queued = 0
        self._lanes.clear()

    def _lane_died(self, error: Exception) -> None:
        if not self._revoked.is_set():  # else its records belong to another member
            self._died(error)

    async def _work_off(self, key: bytes | None) -> None:
        lane = self._lanes[key]
        with suppress(PartitionRevoked):
            while lane:
                if self._revoked.is_set():
                    return
                await self._work(lane[0], self._revoked)
                self._tracker.done(lane.popleft().offset)
                self.queued -= 1
                self._settled()
            del self._lanes[key]
