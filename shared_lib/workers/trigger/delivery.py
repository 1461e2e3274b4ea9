"""Bringing an event to its door: one POST, asked again with growing pauses while the door says "not now".

Each connection is a transport of its own. One pool for all costs httpcore a look at every connection for every request:
at 64 connections that was eight times the price of the request itself.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx
import structlog

from shared_lib.events import EVENTS_PATH
from shared_lib.workers.doors import asks_again
from shared_lib.workers.trigger.envelope import Envelope

CONNECT_S: Final = 2.0
# A charge of a whole chunk takes its time; the door's own deadlines are shorter.
ANSWER_S: Final = 120.0
# Doors keep an idle connection for 95 s; we let go first.
KEEP_ALIVE_S: Final = 60.0
KEPT_OF_ANSWER: Final = 1024
TROUBLE_EVERY_S: Final = 10.0

log = structlog.get_logger("boxoffice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one event is tried, all requests and pauses together, and how the pauses grow.

    The budget must stay below the consumer's max.poll.interval (300 s), as KafkaSource's must.
    """

    budget_s: float = 240.0
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, attempts: int, spent_s: float) -> float | None:
        """The pause after so many attempts, with jitter; None when there is no time left for another attempt."""
        pause_s = min(self.first_s * 2 ** min(attempts - 1, 30), self.most_s) * random.uniform(0.5, 1.5)
        return pause_s if spent_s + pause_s < self.budget_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a door answered, or that it did not (`status` is None)."""

    url: str
    status: int | None
    said: bytes
    extensions: dict[str, bytes] = field(default_factory=dict)
    attempts: int = 1

    @property
    def passing(self) -> bool:
        return self.status is None or asks_again(self.status)

    @property
    def reason(self) -> str:
        said = self.said.decode(errors="replace")[:200]
        return f"answered {self.status}: {said}" if self.status else f"did not answer: {said}"


class LeftError(Exception):
    """The partition is no longer ours: what waits in its lanes is somebody else's now."""


async def pause(left: asyncio.Event, seconds: float) -> None:
    """Sleep, unless the partition goes meanwhile: LeftError."""
    try:
        await asyncio.wait_for(left.wait(), seconds)
    except TimeoutError:
        return
    raise LeftError


class Courier:
    """Delivers events. At most `requests_max` at once to one door: a slow door delays its own events only."""

    def __init__(self, patience: Patience, *, requests_max: int) -> None:
        self._patience = patience
        self._requests_max = requests_max
        self._doors: dict[str, _Door] = {}
        self._tls = httpx.create_ssl_context()  # 20 ms each: shared

    async def deliver(self, event: Envelope, url: str, left: asyncio.Event) -> Failure | None:
        """None: the door took it. Else why it never did; LeftError when `left` is set during a pause."""
        door = self._doors.get(url) or self._doors.setdefault(url, _Door(url, self._requests_max, self._tls))
        began, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            time_left_s = self._patience.budget_s - (time.monotonic() - began)
            failure = await door.post(event, min(ANSWER_S, time_left_s), left, attempts)
            if failure is None or not failure.passing:
                return failure
            door.in_trouble(failure)
            pause_s = self._patience.pause_s(attempts, time.monotonic() - began)
            if pause_s is None:
                return failure
            await pause(left, pause_s)

    async def aclose(self) -> None:
        for door in self._doors.values():
            await door.aclose()


class _Door:
    """A door's address, and the connections to it."""

    def __init__(self, url: str, requests_max: int, tls: ssl.SSLContext) -> None:
        self.url = url
        self._url = httpx.URL(url + EVENTS_PATH)
        self._tls = tls
        self._free = asyncio.Semaphore(requests_max)
        self._idle: list[httpx.AsyncHTTPTransport] = []  # the one used last is taken first: others may expire
        self._troubles = 0
        self._told_at = -TROUBLE_EVERY_S

    async def post(
        self, event: Envelope, answer_s: float, left: asyncio.Event, attempts: int
    ) -> Failure | None:
        async with self._connection() as connection:
            if left.is_set():
                raise LeftError
            limits = {"connect": CONNECT_S, "write": answer_s, "read": answer_s, "pool": answer_s}
            request = httpx.Request(
                "POST", self._url, headers=event.headers, content=event.body, extensions={"timeout": limits}
            )
            try:
                answer = await connection.handle_async_request(request)
                said = await answer.aread()
            except httpx.HTTPError as error:
                return Failure(
                    url=self.url, status=None, said=type(error).__name__.encode(), attempts=attempts
                )
        if 200 <= answer.status_code < 300:
            return None
        return Failure(
            url=self.url,
            status=answer.status_code,
            said=said[:KEPT_OF_ANSWER],
            extensions=_extensions(answer.headers),
            attempts=attempts,
        )

    def in_trouble(self, failure: Failure) -> None:
        """Say so, but not for every event: there may be thousands."""
        self._troubles += 1
        if time.monotonic() - self._told_at >= TROUBLE_EVERY_S:
            log.warning("door_in_trouble", door=self.url, times=self._troubles, reason=failure.reason)
            self._told_at, self._troubles = time.monotonic(), 0

    async def aclose(self) -> None:
        for connection in self._idle:
            await connection.aclose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpx.AsyncHTTPTransport]:
        async with self._free:
            connection = self._idle.pop() if self._idle else self._new()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def _new(self) -> httpx.AsyncHTTPTransport:
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._tls, limits=one, trust_env=False)


def _extensions(headers: httpx.Headers) -> dict[str, bytes]:
    """`Kne-*` headers of an answer become extensions of the dead letter, as Knative's do."""
    return {
        re.sub(r"[^a-z0-9]", "", name): value.encode()
        for name, value in headers.items()
        if name.startswith("kne-")
    }
