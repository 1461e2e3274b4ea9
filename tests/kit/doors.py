"""Doors of events that record what they are sent, and answer as a test wants."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from starlette.types import Receive, Scope, Send

from infra.sandbox.launch import new_webhook_secret
from shared_lib.events.proof import EventSigner
from tests.kit.serving import serving

SECRET = new_webhook_secret()
SIGNER = EventSigner([SECRET], partial(datetime.now, UTC))


@dataclass(frozen=True, slots=True)
class DoorRequest:
    """A request that carries an event."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("ce-id", "")

    @property
    def key(self) -> str:
        return self.headers.get("ce-partitionkey", "")

    @property
    def n(self) -> int:
        return int(json.loads(self.body)["n"])


Answer = Callable[[DoorRequest], Awaitable[int]]


async def _ok(_: DoorRequest) -> int:
    return 200


@dataclass
class RecordingDoor:
    """An ASGI application that records each request and answers with the status that `answer` returns."""

    answer: Answer = _ok
    said: dict[str, str] = field(default_factory=dict)  # headers of its answers
    body: bytes = b""
    heard: list[DoorRequest] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":  # the sender was killed
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        one = DoorRequest({name.decode(): value.decode() for name, value in scope["headers"]}, body)
        self.heard.append(one)
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            status = await self.answer(one)
        finally:
            self.open_now -= 1
        headers = {"content-length": str(len(self.body))} | self.said
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": self.body})

    def order(self) -> dict[str, list[int]]:
        """The numbers of each customer's events, in the order in which they came."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.heard:
            found[one.key].append(one.n)
        return dict(found)


def event_headers(event_id: str, kind: str = "billing.order.paid") -> list[tuple[str, bytes]]:
    """What the relay writes beside the data."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "/boxoffice",
        "ce_type": kind,
        "ce_subject": "ord_1",
        "ce_time": "2031-01-01T00:00:00Z",
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


def opened(door: RecordingDoor) -> AbstractAsyncContextManager[str]:
    """Serve the door over HTTP; yields its address. A request that it has not answered a second after the end is cut off."""
    return serving(door, timeout_graceful_shutdown=1)
