"""The loop: poll, queue, commit what is done; and how one record is handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final

import structlog
from kafka.errors import FencedInstanceIdError, KafkaError, RetriableError

from shared_lib.contract.events import OURS
from shared_lib.domain.values import Value
from shared_lib.workers.doors import Routes
from shared_lib.workers.trigger.delivery import DoorClient, PartitionRevoked, pause
from shared_lib.workers.trigger.envelope import NoEventError, Record, envelope
from shared_lib.workers.trigger.letters import Cause, DeadLetters
from shared_lib.workers.trigger.member import Group, Member, Partition
from shared_lib.workers.trigger.partitions import PartitionQueue

POLL_S: Final = 0.2
KEEP_EVERY_S: Final = 1.0
HELD_MOST_S: Final = 10.0
# Commit at least this often: a commit proves that the partitions are still ours.
PROVE_EVERY_S: Final = 2.0

log = structlog.get_logger("boxoffice")


class Limits(Value, kw_only=True):
    """How much is done at once, and how much may be lost to a crash."""

    queued_max: int = 2000  # records in memory; at this many, nothing more is polled
    polled_max: int = 500
    span_max: int = 10_000  # of one partition, from the first that is not done: delivered again after a crash
    requests_max: int = 32  # to one door
    commit_every_s: float = 0.5
    grace_s: float = 20.0  # for requests under way, when a partition goes or the trigger ends


class Trigger:
    """Carries events from the topics of a group to the doors."""

    def __init__(
        self, group: Group, routes: Mapping[str, str], doors: DoorClient, letters: DeadLetters, limits: Limits
    ) -> None:
        self._group = group
        self._member = Member(group, poll_max=limits.polled_max)
        self._routes = Routes(routes)
        self._doors = doors
        self._letters = letters
        self._limits = limits
        self._queues: dict[Partition, PartitionQueue] = {}
        self._room = asyncio.Event()
        self._dead_lane: Exception | None = None
        self._proven_at = self._polled_at = time.monotonic()
        self._lag = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises KafkaError for what a retry cannot fix: no broker at the start, no right to read, another
        member with our name. Raises RuntimeError when a lane died: a new process reads its records again.
        """
        await self._member.join(self)
        log.info("trigger_joined", group=self._group.name, topics=list(self._group.topics))
        try:
            await self._run(stop)
        finally:
            # Partitions that a rebalance is revoking at this moment are finished in `revoked`.
            await self._finish()
            await self._member.leave()
            log.info("trigger_left", group=self._group.name)

    def health(self) -> dict[str, float | int]:
        """Figures for the health check and for monitoring."""
        return {
            "last_poll_age_s": round(time.monotonic() - self._polled_at, 1),
            "partitions": len(self._queues),
            "queued": self._queued(),
            "lag": self._lag,
        }

    async def _run(self, stop: asyncio.Event) -> None:
        committed_at = time.monotonic()
        while not stop.is_set():
            if self._dead_lane:
                raise RuntimeError("a lane died") from self._dead_lane
            began = time.monotonic()
            try:
                await self._poll()
            except RetriableError as error:
                log.warning("broker_unreachable", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), KEEP_EVERY_S)
            self._polled_at = began
            if time.monotonic() - committed_at >= self._limits.commit_every_s:
                await self._commit()
                committed_at = time.monotonic()

    async def _poll(self) -> None:
        if not self._full():
            for record in await self._member.poll(POLL_S):
                self._queues[Partition(record.topic, record.partition)].take(record)
            return
        self._room.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), min(KEEP_EVERY_S, self._limits.commit_every_s))
        if self._full() and time.monotonic() - self._polled_at >= KEEP_EVERY_S:
            await self._member.keep()

    def _full(self) -> bool:
        return self._queued() >= self._limits.queued_max or any(
            queue.span >= self._limits.span_max for queue in self._queues.values()
        )

    def _queued(self) -> int:
        return sum(queue.queued for queue in self._queues.values())

    async def _commit(self) -> None:
        now, everything = time.monotonic(), self._positions()
        positions = {
            partition: position
            for partition, position in everything.items()
            if position != self._queues[partition].committed
        }
        if not positions and now - self._proven_at >= PROVE_EVERY_S:
            positions = dict(islice(everything.items(), 1))  # any one proves it
        if not positions:
            return
        try:
            await self._member.commit(positions)
        except FencedInstanceIdError:  # another member has our name
            raise
        except KafkaError as error:  # a rebalance or a broker that is away: the next commit includes these
            log.info("commit_failed", error=type(error).__name__, partitions=len(positions))
            return
        self._proven_at = now
        for partition, position in positions.items():
            if queue := self._queues.get(partition):
                queue.committed = position
        self._lag = await self._member.lag(self._positions())

    def _positions(self) -> dict[Partition, int]:
        return {
            partition: queue.position
            for partition, queue in self._queues.items()
            if queue.position is not None
        }

    async def _finish(self) -> None:
        await asyncio.gather(*(queue.close(self._limits.grace_s) for queue in self._queues.values()))
        with suppress(FencedInstanceIdError):
            await self._commit()
        self._queues.clear()

    # ---- partitions come and go ------------------------------------------------------------------------------

    async def given(self, partitions: Iterable[Partition]) -> None:
        self._proven_at = time.monotonic()
        for partition in partitions:
            self._queues.setdefault(partition, PartitionQueue(self._work, self._settled, self._lane_died))
        log.info("partitions_given", group=self._group.name, partitions=len(self._queues))

    async def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        queues = {
            partition: queue for partition in partitions if (queue := self._queues.pop(partition, None))
        }
        await asyncio.gather(*(queue.close(self._limits.grace_s) for queue in queues.values()))
        return {
            partition: queue.position
            for partition, queue in queues.items()
            if queue.position is not None and queue.position != queue.committed
        }

    async def lost(self, partitions: Iterable[Partition]) -> None:
        queues = [queue for partition in partitions if (queue := self._queues.pop(partition, None))]
        log.warning("partitions_lost", group=self._group.name, partitions=len(queues))
        await asyncio.gather(*(queue.close(0) for queue in queues))

    def _lane_died(self, error: Exception) -> None:
        self._dead_lane = error

    def _settled(self) -> None:
        if not self._room.is_set() and self._queued() <= self._limits.queued_max // 2:
            self._room.set()

    # ---- one record ------------------------------------------------------------------------------------------

    async def _work(self, record: Record, revoked: asyncio.Event) -> None:
        """Returns when the record is done: taken, not ours, or among the dead letters."""
        try:
            event = envelope(record)
        except NoEventError as error:
            await self._bury(record, Cause(reason=f"no CloudEvent: {error}"), revoked)
            return
        url = self._routes.door_of(event.type)
        if url is None:
            if event.type.startswith(OURS):
                await self._bury(record, Cause(reason=f"no door takes {event.type}"), revoked, event.id)
            return  # another producer's event on a shared topic, which no door of ours asks for
        try:
            failure = await self._doors.deliver(event, url, revoked, partial(self._still_ours, revoked))
        except PartitionRevoked:
            raise
        except Exception as crash:  # a bug of ours must not block the lane permanently
            log.exception("delivery_crashed", event_id=event.id, type=event.type)
            await self._bury(
                record, Cause(reason=f"{type(crash).__name__}: {crash}", url=url), revoked, event.id
            )
            return
        if failure is not None:
            await self._bury(record, Cause.of(failure), revoked, event.id)

    async def _still_ours(self, revoked: asyncio.Event) -> None:
        """Wait until a commit has proven that the partitions are ours (a suspended machine may have outlived its session).

        Raises PartitionRevoked.
        """
        if revoked.is_set():
            raise PartitionRevoked
        while time.monotonic() - self._proven_at > self._group.session_s:
            await pause(revoked, 0.1)

    async def _bury(
        self, record: Record, cause: Cause, revoked: asyncio.Event, event_id: str | None = None
    ) -> None:
        """Write a dead letter. Blocks the lane until it is written: a record is never dropped."""
        held_s = 0.25
        while True:
            try:
                await self._letters.write(record, cause)
            except Exception as error:  # noqa: BLE001  # the letter was not written, for whatever reason
                log.warning("dead_letter_held", error=type(error).__name__, **_where(record))
                held_s = min(2 * held_s, HELD_MOST_S)
                await pause(revoked, held_s)
            else:
                break
        log.warning(
            "dead_letter", event_id=event_id, reason=cause.reason, door=cause.url or None, **_where(record)
        )


def _where(record: Record) -> dict[str, str | int]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
