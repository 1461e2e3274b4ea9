"""Connections to one door, and requests over them that are sent once: the client is that of the providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Final
from urllib.parse import urlsplit

import httpx

from shared_lib.http_client.session import Session

CONNECT_S: Final = 2.0
# Doors keep an idle connection for 95 s; we close it first.
KEEP_ALIVE_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class NoAnswerError(Exception):
    """No connection, no answer in time, or one that is not HTTP. Whether the door handled the event is unknown."""


class Wire:
    """Sends requests to one address. `async with wire.turn:` waits until fewer than `requests_max` are under way."""

    def __init__(self, url: str, requests_max: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a door")
        self._url = url
        self._session = Session(connections_max=requests_max, keep_alive_s=KEEP_ALIVE_S)
        self.turn = asyncio.Semaphore(requests_max)

    async def post(self, headers: Headers, body: bytes, answer_s: float) -> tuple[int, Headers, bytes]:
        """Status, headers and the beginning of the body of the answer. Raises NoAnswerError."""
        text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        try:
            async with asyncio.timeout(answer_s):
                answer = await self._session.send(
                    "POST", self._url, text, body, pool_s=None, connect_s=CONNECT_S, write_s=None, read_s=None
                )
                try:
                    return answer.status, list(answer.raw_headers), await _beginning(answer)
                finally:
                    await answer.aclose()
        except (httpx.TransportError, TimeoutError) as error:
            raise NoAnswerError(type(error).__name__) from None

    async def aclose(self) -> None:
        await self._session.aclose()


async def _beginning(said: AsyncIterable[bytes]) -> bytes:
    body = b""
    async for piece in said:
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            break
    return body
