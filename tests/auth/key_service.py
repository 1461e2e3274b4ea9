"""The stand-in Auth service on a real socket, with a switch for outages and a counter of fetches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from infra.standins.auth_service import SigningKeys, build_app


@dataclass
class KeyService:
    """`keys` may be replaced (a rotation), `down` answers 503, `slow_s` delays every answer."""

    keys: SigningKeys
    down: bool = False
    slow_s: float = 0.0
    body: bytes | None = None
    fetches: int = 0
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.fetches += 1
        await asyncio.sleep(self.slow_s)
        if self.down or self.body is not None:
            await send({"type": "http.response.start", "status": 503 if self.down else 200, "headers": []})
            await send({"type": "http.response.body", "body": self.body or b""})
            return
        await build_app(self.keys)(scope, receive, send)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The app on a free loopback port; yields its base address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="warning", ws="none")
    )
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await running


@dataclass
class Clock:
    """The tests' clock: it moves when told."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **span: float) -> None:
        self.at += timedelta(**span)
