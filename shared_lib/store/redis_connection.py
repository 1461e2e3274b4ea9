"""One connection to Redis. hiredis writes commands and reads answers; this module keeps their order.

redis-py is an eighth of the time until a door's first order, 6 MiB, and four times the processor time of a command (decision 0042).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import hiredis

PORT: Final = 6379
_INCOMPLETE: Final = object()


class RedisError(Exception):
    """Redis refused a command. The text is the kind alone (NOAUTH, WRONGPASS, OOM): the rest may repeat the command."""


class RedisConnection:
    """Connects with the first command, and again with the first one after the connection has ended. Bound to one event loop.

    Callers limit the time. When it is over, they `drop` the connection: Redis may answer none of the others either.
    """

    def __init__(self, url: str) -> None:
        """`url`: redis://user:password@host:port/database, or rediss:// for TLS (addresses.redis_address)."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or PORT
        self._tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        database = parts.path.strip("/")
        self._greeting: list[tuple[str, ...]] = []
        if password:
            self._greeting.append(("AUTH", user, password) if user else ("AUTH", password))
        if database and int(database):
            self._greeting.append(("SELECT", database))
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *command: str | bytes | int) -> Any:
        """The answer to the command: bytes, an int, None, or a list of them. Raises RedisError or OSError."""
        link = self._link
        if link is None or link.ended:
            link = await self._connected()
        return await link.answer_to(command)

    def drop(self) -> None:
        """End the connection: its callers get an OSError, and the next command connects again."""
        if self._link:
            self._link.end()

    async def _connected(self) -> _Link:
        async with self._connecting:  # one of those who wait connects
            if self._link is None or self._link.ended:
                loop = asyncio.get_running_loop()
                _, link = await loop.create_connection(_Link, self._host, self._port, ssl=self._tls)
                try:
                    for command in self._greeting:
                        await link.answer_to(command)
                except BaseException:
                    link.end()
                    raise
                self._link = link
            return self._link


class _Link(asyncio.Protocol):
    """A connection: the n-th answer is that to the n-th command."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.ended = False

    def answer_to(self, command: tuple[str | bytes | int, ...]) -> asyncio.Future[Any]:
        """Send the command now. Its answer may be cancelled, and keeps its place: Redis still sends it."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.ended or self._transport is None:
            answer.set_exception(ConnectionResetError("Redis closed the connection"))
        else:
            self._waiting.append(answer)
            self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its type says one word
        return answer

    def end(self) -> None:
        self.ended = True
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (found := self._reader.gets()) is not _INCOMPLETE:
                self._settle(found)
        except (hiredis.ProtocolError, IndexError):  # no answer of Redis, or one to no command
            self.end()

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = True
        while self._waiting:
            self._refuse(self._waiting.popleft(), ConnectionResetError("Redis closed the connection"))

    def _settle(self, found: Any) -> None:
        answer = self._waiting.popleft()
        if isinstance(found, hiredis.ReplyError):
            self._refuse(answer, RedisError(str(found).partition(" ")[0]))
        elif not answer.done():
            answer.set_result(found)

    @staticmethod
    def _refuse(answer: asyncio.Future[Any], error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)
