"""Connections to one door, on httpcore, the engine of httpx.

httpx serves any number of hosts: its pool checks every connection for every request, its timeouts open a scope around
every read. For one host, with one deadline for the whole request, httpcore alone costs less than half: 0.16 ms of
processor time a request instead of 0.36, and instead of 2.7 with 64 connections in one pool.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore

CONNECT_S: Final = 2.0
# Doors keep an idle connection for 95 s; we close it first.
KEEP_ALIVE_S: Final = 60.0

Headers = list[tuple[bytes, bytes]]


class NoAnswerError(Exception):
    """No connection, no answer in time, or one that is not HTTP. Whether the door handled the event is unknown."""


class Wire:
    """Sends requests to one address. `async with wire.turn:` waits until fewer than `requests_max` are under way."""

    def __init__(self, url: str, requests_max: int, tls: ssl.SSLContext) -> None:
        parts = httpcore.URL(url)
        if parts.scheme not in (b"http", b"https") or not parts.host:
            raise ValueError(f"{url!r} is no address of a door")
        self._url = parts
        port = parts.port or parts.origin.port
        self._host = (b"host", parts.host if parts.port is None else b"%s:%d" % (parts.host, port))
        self._tls = tls
        self.turn = asyncio.Semaphore(requests_max)
        self._idle: list[httpcore.AsyncHTTPConnection] = []  # used last in, first out: the others may expire

    async def post(self, headers: Headers, body: bytes, answer_s: float) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer. Raises NoAnswerError."""
        length = (b"content-length", b"%d" % len(body))
        request = httpcore.Request("POST", self._url, headers=[self._host, length, *headers], content=body)
        connection = await self._connection()
        try:
            async with asyncio.timeout(answer_s):
                answer = await connection.handle_async_request(request)
                said = await answer.aread()
                await answer.aclose()
        except (OSError, TimeoutError, *_BROKEN) as error:
            raise NoAnswerError(type(error).__name__) from None
        finally:
            if connection.is_idle():
                self._idle.append(connection)
            else:
                await connection.aclose()
        return answer.status, answer.headers, said

    async def aclose(self) -> None:
        for connection in self._idle:
            await connection.aclose()

    async def _connection(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired() and connection.is_idle():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._url.origin, ssl_context=self._tls, keepalive_expiry=KEEP_ALIVE_S, network_backend=_Streams()
        )


_BROKEN: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class _Streams(httpcore.AsyncNetworkBackend):
    """asyncio's streams, without a timeout for each read and write: the caller sets one for the whole request."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(CONNECT_S):
                return _Stream(*await asyncio.open_connection(host, port))
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except OSError:
            raise httpcore.ConnectError from None


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._writer.write(buffer)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        """`is_readable` of an idle connection means that the door has closed it."""
        if info == "is_readable":
            return self._reader.at_eof()
        return self._writer.get_extra_info(info)
