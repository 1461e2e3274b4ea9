"""Outbox -> Kafka: a batch is read while the one before awaits its acknowledgements; its rows are deleted once acknowledged.

Order. A relay sends an event only after every earlier event of the same customer, unless the earlier row is gone because
it was acknowledged; a stream stops at its first failure. So two relays that work on one shard by mistake, or a relay that
restarts, send the same sequence again from the first row without an acknowledgement: repeated, never reordered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import structlog

from shared_lib.domain.errors import Transient
from shared_lib.owned import owned
from shared_lib.phases.records import BatchResult, delete_acknowledged
from shared_lib.queries.outbox import ReadBatch, unsent, unsent_ids, unsent_of
from shared_lib.runtime import Runtime
from shared_lib.store.outbox import SHARDS, OutboxRow
from shared_lib.workers.floor import MovingFloor
from shared_lib.workers.kafka_stream import Fate, Stream, StreamError
from shared_lib.workers.shards import drain_owned_shards
from shared_lib.workers.unreadable import readable

BATCH_MAX: Final = 1000
ON_THEIR_WAY_MAX: Final = 4000
FLIGHTS_MAX: Final = 64  # reached by small batches, when events arrive one by one
# An idle relay queries fifty times a second, which costs 5 % of a core (at 50 ms: 2 %, and 20 to 40 ms of p99 instead of 8 to
# 22). NOTIFY would cost every commit of every door a lock that all of them share.
IDLE_S: Final = 0.02
# Longer than this, the producer is given up, and a new one begins with what was not acknowledged.
FLIGHT_TIMEOUT_S: Final = 30.0
SETTLE_TIMEOUT_S: Final = 5.0
TOPIC_RETRY_S: Final = 10.0

Said = TypeVar("Said")

log = structlog.get_logger("boxoffice")


class KafkaRelay:
    """Sends what is ready, with a few batches in flight at a time."""

    idle_s = IDLE_S

    def __init__(self, rt: Runtime, bootstrap: Sequence[str], *, batch_max: int = BATCH_MAX) -> None:
        self._rt = rt
        self._bootstrap = bootstrap
        self.batch_max = batch_max
        self._stream: Stream | None = None
        self._on_their_way: set[int] = set()
        self._flights: set[asyncio.Task[None]] = set()
        self._floor = MovingFloor(rt)
        self._no_topics: dict[str, float] = {}  # name -> when to look again
        # One thread each, so each is a queue: batches are sent in the order they were read (sending may block while
        # metadata is missing), and their acknowledgements are awaited in the same order.
        self._sending = ThreadPoolExecutor(1, "kafka-send")
        self._waiting = ThreadPoolExecutor(1, "kafka-wait")

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await drain_owned_shards(self, self._rt.settings.database_url, stop)
        finally:
            await self.aclose()

    async def run_once(self, shards: Sequence[int] = tuple(range(SHARDS))) -> int:
        """Send what is ready and not in flight yet. Returns how many events were found. Raises StreamError."""
        stream = await self._live_stream()
        room = ON_THEIR_WAY_MAX - len(self._on_their_way)
        if room <= 0 or len(self._flights) >= FLIGHTS_MAX:
            await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)
            return self.batch_max  # there may be more
        await self._floor.follow()
        batch = ReadBatch(
            shards=shards,
            floor=self._floor.now,
            on_their_way=list(self._on_their_way),
            no_topics=self._missing_topics(),
            limit=min(room, self.batch_max),
        )
        rows = await readable(self._rt, unsent, batch, ids=unsent_ids, by_id=unsent_of)
        self._floor.found(len(rows))
        if rows:
            self._on_their_way.update(row.row_id for row in rows)
            # A bug of ours: start over after a pause instead of in a tight loop.
            task = owned(self._deliver(stream, rows), name="deliver", died=stream.stop)
            self._flights.add(task)
            task.add_done_callback(partial(self._landed, [row.row_id for row in rows]))
        return len(rows)

    async def _live_stream(self) -> Stream:
        if self._stream is not None and self._stream.stopped_by is not None:
            raise StreamError(f"the stream stopped: {self._stream.stopped_by!r}")
        if self._stream is None:
            self._stream = await self._in(self._sending, lambda: Stream(self._bootstrap))
        return self._stream

    async def _deliver(self, stream: Stream, rows: Sequence[OutboxRow]) -> None:
        """Send one batch, wait for its acknowledgements, delete those rows. Rows without one are read again."""
        flight = await self._in(self._sending, lambda: stream.send(rows))
        self._note_missing(flight.left_behind)
        fate = await self._in(self._waiting, lambda: stream.wait(flight, FLIGHT_TIMEOUT_S))
        for row in rows:
            if reason := fate.refused.get(row.row_id):
                log.warning("dead_letter", event_id=row.event_id, type=row.type, reason=reason)
        await self._delete_acknowledged(fate)

    def _landed(self, row_ids: Sequence[int], flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._on_their_way.difference_update(row_ids)

    async def _delete_acknowledged(self, fate: Fate) -> None:
        if not (fate.acknowledged or fate.refused):
            return
        try:
            await self._rt.run(
                delete_acknowledged, BatchResult(acknowledged=fate.acknowledged, refused=fate.refused)
            )
        except Transient:
            log.warning("delivery_not_noted", events=len(fate.acknowledged))  # they will be sent again

    def _missing_topics(self) -> list[str]:
        now = time.monotonic()
        self._no_topics = {name: until for name, until in self._no_topics.items() if until > now}
        return list(self._no_topics)

    def _note_missing(self, topics: set[str]) -> None:
        """Events of a topic that does not exist wait in the outbox; other topics continue."""
        for name in topics:
            log.error("topic_missing", topic=name, again_in_s=TOPIC_RETRY_S)
            self._no_topics[name] = time.monotonic() + TOPIC_RETRY_S

    async def settle(self) -> None:
        """Wait up to 5 s for acknowledgements of batches in flight; the next relay sends the rest again."""
        if self._flights:
            await asyncio.wait(list(self._flights), timeout=SETTLE_TIMEOUT_S)

    async def abandon(self) -> None:
        """Stop the stream at once. The next owner of the shards begins with what was not acknowledged."""
        self._floor.reset()
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._in(self._sending, stream.close)
        await self.settle()

    async def aclose(self) -> None:
        await self.abandon()
        self._sending.shutdown(wait=False)
        self._waiting.shutdown(wait=False)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], Said]) -> Said:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
