"""A webhook endpoint of the tests' own: keeps what arrives, answers what the test sets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kit.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Delivery:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said

    @property
    def type(self) -> str:
        """YooKassa writes it as the event's name: all its webhooks are of the type notification."""
        return str(self.said.get("event") or self.said["type"])

    def concerns(self, ours: str) -> bool:
        """Our payment or refund id stands in it."""
        return ours in self.body.decode()


class Inbox:
    def __init__(self) -> None:
        self.url = ""
        self.answers: list[int] = []  # the next statuses; 200 once they are used up
        self._arrived: list[Delivery] = []
        self._news = threading.Lock()

    def at(self, provider: str) -> str:
        """Where that provider's webhooks go; a bank's endpoints differ."""
        return self.url.rpartition("/")[0] + "/" + provider

    def take(self, delivery: Delivery) -> int:
        with self._news:
            self._arrived.append(delivery)
            return self.answers.pop(0) if self.answers else 200

    def about(self, ours: str, type_: str | tuple[str, ...] = "") -> list[Delivery]:
        """Those whose type begins with one of these."""
        with self._news:
            arrived = list(self._arrived)
        return [it for it in arrived if it.concerns(ours) and it.type.startswith(type_)]

    async def wait(
        self, ours: str, type_: str | tuple[str, ...] = "", *, count: int = 1, timeout_s: float = PATIENCE_S
    ) -> list[Delivery]:
        until = time.monotonic() + timeout_s
        while len(found := self.about(ours, type_)) < count:
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} of {count} webhooks {type_} about {ours} arrived")
            await asyncio.sleep(0.02)
        return found


@contextmanager
def running_inbox() -> Iterator[Inbox]:
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(inbox.take(Delivery(headers, body)))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_port}/v1/webhooks/sandbox"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
