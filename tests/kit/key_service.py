"""The stand-in Auth service on a real socket, with a switch for outages and a counter of fetches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

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


@dataclass
class Clock:
    """A clock that moves by `advance` alone."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **span: float) -> None:
        self.at += timedelta(**span)
