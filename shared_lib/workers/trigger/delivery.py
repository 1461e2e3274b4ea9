"""Delivers an event to its door: one POST, repeated with growing pauses while the answer is retryable."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.domain.values import Value, field
from shared_lib.events.proof import EventSigner
from shared_lib.workers.doors import is_retryable
from shared_lib.workers.trigger.envelope import Envelope
from shared_lib.workers.trigger.wire import Headers, NoAnswerError, Wire

# Charging a whole chunk of renewals takes long; the door's own deadlines are shorter.
ANSWER_S: Final = 120.0
KEPT_OF_ANSWER: Final = 1024
TROUBLE_EVERY_S: Final = 10.0

log = structlog.get_logger("boxoffice")


class Patience(Value, kw_only=True):
    """How long one event is tried, requests and pauses together, and how the pauses grow.

    The budget must stay below the consumer's max.poll.interval (300 s), as KafkaSource's must.
    """

    budget_s: float = 240.0
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, attempts: int, spent_s: float) -> float | None:
        """The pause after `attempts`, with jitter; None when no time is left for another attempt."""
        pause_s = min(self.first_s * 2 ** min(attempts - 1, 30), self.most_s) * random.uniform(0.5, 1.5)
        return pause_s if spent_s + pause_s < self.budget_s else None


class Failure(Value, kw_only=True):
    """A door's last answer; `status` is None when there was none."""

    url: str
    status: int | None
    said: bytes
    extensions: dict[str, bytes] = field(default_factory=dict)
    attempts: int = 1

    @property
    def is_retryable(self) -> bool:
        return self.status is None or is_retryable(self.status)

    @property
    def reason(self) -> str:
        said = self.said.decode(errors="replace")[:200]
        return f"answered {self.status}: {said}" if self.status else f"did not answer: {said}"


class PartitionRevoked(Exception):  # noqa: N818  # a rebalance is no fault
    """The partition was taken from us: the records in its lanes belong to another member of the group."""


async def pause(revoked: asyncio.Event, seconds: float) -> None:
    """Sleep. Raises PartitionRevoked when the partition is revoked meanwhile."""
    try:
        await asyncio.wait_for(revoked.wait(), seconds)
    except TimeoutError:
        return
    raise PartitionRevoked


class DoorClient:
    """Posts events to doors, at most `requests_max` at once to each: a slow door delays its own events only."""

    def __init__(self, patience: Patience, signer: EventSigner, *, requests_max: int) -> None:
        self._patience = patience
        self._signer = signer
        self._requests_max = requests_max
        self._doors: dict[str, _Door] = {}

    async def deliver(
        self, event: Envelope, url: str, revoked: asyncio.Event, still_ours: Callable[[], Awaitable[None]]
    ) -> Failure | None:
        """None when the door took it, else why it did not.

        `still_ours` is awaited before each request, once there is room for it. Raises PartitionRevoked when `still_ours`
        does, or when `revoked` is set during a pause.
        """
        door = self._doors.get(url)
        if door is None:
            door = self._doors[url] = _Door(url, self._signer, self._requests_max)
        began, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            time_left_s = self._patience.budget_s - (time.monotonic() - began)
            async with door.turn:
                await still_ours()
                failure = await door.post(event, min(ANSWER_S, time_left_s), attempts)
            if failure is None or not failure.is_retryable:
                return failure
            door.in_trouble(failure)
            pause_s = self._patience.pause_s(attempts, time.monotonic() - began)
            if pause_s is None:
                return failure
            await pause(revoked, pause_s)

    async def aclose(self) -> None:
        for door in self._doors.values():
            await door.aclose()


class _Door:
    """A door's address, the wire to it, and its failures since the last log line."""

    def __init__(self, url: str, signer: EventSigner, requests_max: int) -> None:
        self.url = url
        self._signer = signer
        self._wire = Wire(url + EVENTS_PATH, requests_max)
        self.turn = self._wire.turn
        self._troubles = 0
        self._told_at = -TROUBLE_EVERY_S

    async def post(self, event: Envelope, answer_s: float, attempts: int) -> Failure | None:
        # Each attempt is signed separately: a signature expires sooner than the retries end.
        signed = [*event.headers, *self._signer.pairs(event.headers, event.body, event.id)]
        try:
            status, headers, said = await self._wire.post(signed, event.body, answer_s)
        except NoAnswerError as error:
            return Failure(url=self.url, status=None, said=str(error).encode(), attempts=attempts)
        if 200 <= status < 300:
            return None
        return Failure(
            url=self.url,
            status=status,
            said=said[:KEPT_OF_ANSWER],
            extensions=_extensions(headers),
            attempts=attempts,
        )

    def in_trouble(self, failure: Failure) -> None:
        """Log it, but not for every event: there may be thousands."""
        self._troubles += 1
        if time.monotonic() - self._told_at >= TROUBLE_EVERY_S:
            log.warning("door_in_trouble", door=self.url, times=self._troubles, reason=failure.reason)
            self._told_at, self._troubles = time.monotonic(), 0

    async def aclose(self) -> None:
        await self._wire.aclose()


def _extensions(headers: Headers) -> dict[str, bytes]:
    """`Kne-*` headers of an answer become extensions of the dead letter, as Knative's do."""
    found = {name.decode("latin-1").lower(): value for name, value in headers}
    return {re.sub(r"[^a-z0-9]", "", name): value for name, value in found.items() if name.startswith("kne-")}
