"""The relay: delivers the events of the outbox, at least once, each customer's in order.

    python -m shared_lib.workers.relay

With BOXOFFICE_KAFKA_BOOTSTRAP it is the relay of kafka_relay.py; without, the one below, which delivers to the doors over
HTTP. Several relays share the work by shards (shards.py): when one dies, its database session ends and the others take
over its shards.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from shared_lib import log as logs
from shared_lib.domain.errors import Transient
from shared_lib.owned import owned
from shared_lib.phases.outgoing import Dead, Delivered, PutOff, settle_deliveries
from shared_lib.queries.outbox import Ready, events_of, ready_events, ready_ids
from shared_lib.runtime import Runtime
from shared_lib.settings import settings_of
from shared_lib.store.outbox import SHARDS, Outgoing
from shared_lib.visible import visible
from shared_lib.workers.floor import MovingFloor
from shared_lib.workers.shards import drain_owned_shards
from shared_lib.workers.signals import until_stopped
from shared_lib.workers.sink import NeverError, NotNowError, Sink
from shared_lib.workers.unreadable import readable

if TYPE_CHECKING:
    from shared_lib.workers.kafka_relay import KafkaRelay

__all__ = ["NeverError", "NotNowError", "Relay", "Sink"]

LANES_MAX: Final = 64
IDLE_S: Final = 0.1
ATTEMPTS_MAX: Final = 12  # about fourteen minutes with the pauses below; then the event is a dead letter
BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 300.0
UNREACHABLE_RETRY_S: Final = 1.0
SETTLE_S: Final = 20.0
REASON_CHARS_MAX: Final = 500

log = structlog.get_logger("boxoffice")


class Relay:
    """Hands ready events to a sink, one at a time in each lane, with at most `lanes_max` lanes at once."""

    idle_s = IDLE_S
    batch_max = sys.maxsize  # the doors limit the pace, so it never pauses to gather a batch

    def __init__(
        self, rt: Runtime, sink: Sink, *, lanes_max: int = LANES_MAX, floor: MovingFloor | None = None
    ) -> None:
        self._rt = rt
        self._sink = sink
        self._lanes_max = lanes_max
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._floor = floor or MovingFloor(rt)

    async def run_once(self, shards: Sequence[int] = tuple(range(SHARDS))) -> int:
        """Start delivering what is ready and not being delivered yet. Returns how many events were found."""
        free = self._lanes_max - len(self._busy)
        if free <= 0:
            await asyncio.wait(self._busy.values(), return_when=asyncio.FIRST_COMPLETED)
            return 0
        await self._floor.follow()
        ready = Ready(shards=shards, floor=self._floor.now, busy=list(self._busy))
        found = await readable(self._rt, ready_events, ready, ids=ready_ids, by_id=events_of)
        self._floor.found(len(found))
        lanes: dict[tuple[str, str], list[Outgoing]] = {}
        for event in found:
            if event.lane in lanes or len(lanes) < free:
                lanes.setdefault(event.lane, []).append(event)
        for lane, events in lanes.items():
            task = owned(self._deliver(events), name="deliver", died=lambda _: None)
            self._busy[lane] = task
            task.add_done_callback(partial(self._free, lane))
        return len(found)

    def _free(self, lane: tuple[str, str], _: asyncio.Task[None]) -> None:
        self._busy.pop(lane, None)

    async def settle(self) -> None:
        """Wait for deliveries in progress, up to SETTLE_S; the next owner delivers the rest again."""
        deadline = time.monotonic() + SETTLE_S
        while self._busy and (left_s := deadline - time.monotonic()) > 0:
            await asyncio.wait(list(self._busy.values()), timeout=left_s)
        for task in self._busy.values():
            task.cancel()

    async def abandon(self) -> None:
        """Another relay may own the shards soon: let deliveries in progress end, up to SETTLE_S."""
        self._floor.reset()
        await self.settle()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set. The shards are ours as long as our database session lives."""
        await drain_owned_shards(self, self._rt.settings.database_url, stop)

    async def _deliver(self, events: Sequence[Outgoing]) -> None:
        """Deliver one lane in order: an event that is put off also delays the events behind it."""
        for event in events:
            outcome = await self._hand_on(event)
            try:
                await self._rt.run(settle_deliveries, outcome)
            except Transient:
                log.warning("delivery_not_noted", event_id=event.event_id)  # it will be delivered again
                return
            except Exception:  # this lane waits for the next round; the other lanes continue
                log.exception("delivery_crashed", event_id=event.event_id, type=event.type)
                return
            if isinstance(outcome, PutOff):
                return

    async def _hand_on(self, event: Outgoing) -> Delivered | PutOff | Dead:
        try:
            await self._sink.deliver(event)
        except NeverError as error:
            log.warning("dead_letter", event_id=event.event_id, type=event.type, reason=str(error))
            return Dead(event=event, reason=_kept(error))
        except NotNowError as error:
            if error.counts and event.attempts + 1 >= ATTEMPTS_MAX:
                log.warning("dead_letter", event_id=event.event_id, type=event.type, reason=str(error))
                return Dead(event=event, reason=f"after {ATTEMPTS_MAX} attempts: {_kept(error)}")
            return PutOff(event=event, wait=_wait(event.attempts, error), counts=error.counts)
        except Exception as crash:  # a bug of ours must not block the lane permanently
            log.exception("delivery_crashed", event_id=event.event_id, type=event.type)
            return Dead(event=event, reason=f"{type(crash).__name__}: {_kept(crash)}")
        return Delivered(event=event)


def _kept(error: Exception) -> str:
    """The door's answer as text that PostgreSQL can store."""
    return visible(str(error))[:REASON_CHARS_MAX]


def _wait(attempts: int, error: NotNowError) -> timedelta:
    base_s = min(BACKOFF_S * 2**attempts, BACKOFF_MAX_S) if error.counts else UNREACHABLE_RETRY_S
    return timedelta(seconds=base_s * random.uniform(0.5, 1.5))


async def main() -> None:
    logs.configure(function="relay")
    rt = await Runtime.open(settings_of("relay"))
    try:
        async with _relay(rt) as relay:
            await relay.run(until_stopped())
    finally:
        await rt.aclose()


@asynccontextmanager
async def _relay(rt: Runtime) -> AsyncIterator[Relay | KafkaRelay]:
    """The relay that the settings ask for. Imported here: Kafka's client would double what a relay over HTTP loads."""
    if rt.settings.kafka_bootstrap:
        from shared_lib.workers.kafka_relay import KafkaRelay  # noqa: PLC0415

        # The client library logs every attempt to reconnect; the relay logs what matters.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        yield KafkaRelay(rt, rt.settings.kafka_bootstrap)
        return
    from shared_lib.events.proof import event_signer  # noqa: PLC0415
    from shared_lib.workers.http_sink import HttpSink, to_doors  # noqa: PLC0415

    async with to_doors() as http:
        yield Relay(rt, HttpSink(http, rt.settings.event_routes, event_signer(rt)))


if __name__ == "__main__":
    asyncio.run(main())
