"""The loop: poll, queue, commit what is done; and what becomes of one record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import structlog
from kafka.errors import FencedInstanceIdError, KafkaError, RetriableError

from shared_lib.workers.doors import Routes
from shared_lib.workers.trigger.claims import Claim
from shared_lib.workers.trigger.delivery import Courier, LeftError, pause
from shared_lib.workers.trigger.envelope import NoEventError, Record, envelope
from shared_lib.workers.trigger.letters import Cause, DeadLetters
from shared_lib.workers.trigger.member import Group, Member, Partition

OURS: Final = "billing."
POLL_S: Final = 0.2
KEEP_EVERY_S: Final = 1.0
HELD_MOST_S: Final = 10.0
# Even when nothing new is done: a commit proves that the partitions are still ours.
PROVE_EVERY_S: Final = 2.0

log = structlog.get_logger("boxoffice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is done at once, and how much may be lost to a crash."""

    queued_max: int = 2000  # records in memory; at this many, nothing more is polled
    polled_max: int = 500
    span_max: int = 10_000  # of one partition, from the first that is not done: delivered again after a crash
    requests_max: int = 32  # to one door
    commit_every_s: float = 0.5
    grace_s: float = 20.0  # for requests under way, when a partition goes or the trigger ends


class Trigger:
    """Carries events from the topics of a group to the doors until told to stop."""

    def __init__(
        self, group: Group, routes: Mapping[str, str], courier: Courier, letters: DeadLetters, limits: Limits
    ) -> None:
        self._group = group
        self._member = Member(group, poll_max=limits.polled_max)
        self._routes = Routes(routes)
        self._courier = courier
        self._letters = letters
        self._limits = limits
        self._claims: dict[Partition, Claim] = {}
        self._room = asyncio.Event()
        self._proven_at = self._polled_at = time.monotonic()
        self._lag = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Raises what cannot be mended from here: no broker at the start, no right to read, a name that is taken."""
        await self._member.join(self)
        log.info("trigger_joined", group=self._group.name, topics=list(self._group.topics))
        try:
            await self._run(stop)
        finally:
            # Those of partitions that a rebalance is just taking are finished there.
            await self._finish()
            await self._member.leave()
            log.info("trigger_left", group=self._group.name)

    def health(self) -> dict[str, float | int]:
        """Figures for whoever asks whether this process does its work."""
        return {
            "last_poll_age_s": round(time.monotonic() - self._polled_at, 1),
            "partitions": len(self._claims),
            "queued": self._queued(),
            "lag": self._lag,
        }

    async def _run(self, stop: asyncio.Event) -> None:
        committed_at = time.monotonic()
        while not stop.is_set():
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
                self._claims[Partition(record.topic, record.partition)].take(record)
            return
        self._room.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), min(KEEP_EVERY_S, self._limits.commit_every_s))
        if self._full() and time.monotonic() - self._polled_at >= KEEP_EVERY_S:
            await self._member.keep()

    def _full(self) -> bool:
        return self._queued() >= self._limits.queued_max or any(
            claim.span >= self._limits.span_max for claim in self._claims.values()
        )

    def _queued(self) -> int:
        return sum(claim.queued for claim in self._claims.values())

    async def _commit(self) -> None:
        now, everything = time.monotonic(), self._positions()
        positions = {
            partition: position
            for partition, position in everything.items()
            if position != self._claims[partition].committed
        }
        if not positions and now - self._proven_at >= PROVE_EVERY_S:
            positions = dict(islice(everything.items(), 1))  # any one proves it
        if not positions:
            return
        try:
            await self._member.commit(positions)
        except FencedInstanceIdError:  # somebody else has our name
            raise
        except KafkaError as error:  # a rebalance is under way, or the broker is: the next commit says it all
            log.info("commit_failed", error=type(error).__name__, partitions=len(positions))
            return
        self._proven_at = now
        for partition, position in positions.items():
            if claim := self._claims.get(partition):
                claim.committed = position
        self._lag = await self._member.lag(self._positions())

    def _positions(self) -> dict[Partition, int]:
        return {
            partition: claim.position
            for partition, claim in self._claims.items()
            if claim.position is not None
        }

    async def _finish(self) -> None:
        await asyncio.gather(*(claim.leave(self._limits.grace_s) for claim in self._claims.values()))
        with suppress(FencedInstanceIdError):
            await self._commit()
        self._claims.clear()

    # ---- partitions come and go ------------------------------------------------------------------------------

    async def given(self, partitions: Iterable[Partition]) -> None:
        self._proven_at = time.monotonic()
        for partition in partitions:
            self._claims.setdefault(partition, Claim(self._work, self._settled))
        log.info("partitions_given", group=self._group.name, partitions=len(self._claims))

    async def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        claims = {
            partition: claim for partition in partitions if (claim := self._claims.pop(partition, None))
        }
        await asyncio.gather(*(claim.leave(self._limits.grace_s) for claim in claims.values()))
        return {
            partition: claim.position
            for partition, claim in claims.items()
            if claim.position is not None and claim.position != claim.committed
        }

    async def lost(self, partitions: Iterable[Partition]) -> None:
        claims = [claim for partition in partitions if (claim := self._claims.pop(partition, None))]
        log.warning("partitions_lost", group=self._group.name, partitions=len(claims))
        await asyncio.gather(*(claim.leave(0) for claim in claims))

    def _settled(self) -> None:
        if not self._room.is_set() and self._queued() <= self._limits.queued_max // 2:
            self._room.set()

    # ---- one record ------------------------------------------------------------------------------------------

    async def _work(self, record: Record, left: asyncio.Event) -> None:
        """Returns when the record is done for good: taken, not ours, or among the dead letters."""
        try:
            event = envelope(record)
        except NoEventError as error:
            await self._bury(record, Cause(reason=f"no CloudEvent: {error}"), left)
            return
        url = self._routes.door_of(event.type)
        if url is None:
            if event.type.startswith(OURS):
                await self._bury(record, Cause(reason=f"no door takes {event.type}"), left, event.id)
            return  # somebody else's events on a topic we share, and none that we asked for
        try:
            failure = await self._courier.deliver(event, url, left, partial(self._still_ours, left))
        except LeftError:
            raise
        except Exception as crash:  # a bug of ours must not hold up the lane for ever
            log.exception("delivery_crashed", event_id=event.id, type=event.type)
            await self._bury(
                record, Cause(reason=f"{type(crash).__name__}: {crash}", url=url), left, event.id
            )
            return
        if failure is not None:
            await self._bury(record, Cause.of(failure), left, event.id)

    async def _still_ours(self, left: asyncio.Event) -> None:
        """Or LeftError. Waits while nothing proves that the partitions are ours, as after a sleep beyond the session."""
        if left.is_set():
            raise LeftError
        while time.monotonic() - self._proven_at > self._group.session_s:
            await pause(left, 0.1)

    async def _bury(
        self, record: Record, cause: Cause, left: asyncio.Event, event_id: str | None = None
    ) -> None:
        """Write a dead letter, or hold the lane until it can be written: a record is never dropped."""
        held_s = 0.25
        while True:
            try:
                await self._letters.write(record, cause)
            except Exception as error:  # noqa: BLE001  # whatever it is, the record is not written
                log.warning("dead_letter_held", error=type(error).__name__, **_where(record))
                held_s = min(2 * held_s, HELD_MOST_S)
                await pause(left, held_s)
            else:
                break
        log.warning(
            "dead_letter", event_id=event_id, reason=cause.reason, door=cause.url or None, **_where(record)
        )


def _where(record: Record) -> dict[str, str | int]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
