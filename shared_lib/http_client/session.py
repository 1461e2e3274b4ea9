"""aiohttp's client, with everything off that it would do without being asked.

A payment must not be sent twice, so a request is sent once: aiohttp repeats GET, PUT and DELETE when a kept connection
breaks, and would follow redirects. Cookies are not kept, bodies are not unpacked, netrc is not read. Errors are httpx's,
which the callers know.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import Final
from weakref import WeakSet

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from aiohttp.tracing import Trace

from shared_lib.http_client.tls import tls_context

# Headers that aiohttp adds; httpx's callers name what they send.
_NOT_ADDED: Final = ("user-agent", "accept", "accept-encoding", "content-type")


class Session:
    """Kept connections of one event loop, and requests over them. Opened by its first request."""

    def __init__(self, *, connections_max: int, keep_alive_s: float) -> None:
        self._connections_max, self._keep_alive_s = connections_max, keep_alive_s
        self._client: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        pool_s: float | None,
        connect_s: float | None,
        write_s: float | None,
        read_s: float | None,
        proxy: str | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer, its body not read yet: the caller must close it. `url` is encoded already.

        Time limits, None for none: `pool_s` to wait until fewer than `connections_max` are in use, `connect_s` for one
        attempt to connect, `write_s` for the body, `read_s` between two pieces of the answer. Raises httpx.TransportError;
        RuntimeError when this session is closed.
        """
        client = self._client or self._open()
        try:
            return await client.request(
                method,
                yarl.URL(url, encoded=True),
                headers=headers,
                data=_Body(body, write_s) if body else None,
                allow_redirects=False,
                timeout=_timeout(pool_s, connect_s, read_s),
                ssl=tls_context() if url.startswith("https:") else True,
                proxy=proxy,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise as_httpx(error) from None

    @staticmethod
    def body(answer: aiohttp.ClientResponse) -> httpx.AsyncByteStream:
        """The bytes of the answer as they come; closing it early closes the connection. Raises httpx.TransportError."""
        return _Answer(answer)

    async def aclose(self) -> None:
        """Close all connections. What is under way fails with httpx.TransportError."""
        self._closed = True
        if self._client:
            await self._client.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this session is closed")
        self._client = aiohttp.ClientSession(
            connector=_QuietConnections(limit=self._connections_max, keepalive_timeout=self._keep_alive_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
            middlewares=(_once,),
        )
        return self._client


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Translate errors where they happen: aiohttp repeats a request after an error of its own, and knows none of httpx."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise as_httpx(error) from None


class _QuietConnections(aiohttp.TCPConnector):
    """Uses a kept connection only while nothing has arrived on it.

    What has arrived is its end, after which a request would be lost, or bytes that aiohttp would read as the answer to the
    next request. The event loop may not have read them yet, so the socket is asked too, as httpx does.
    """

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces=traces, timeout=timeout)
            protocol = connection.protocol
            if protocol is None or protocol not in self._used:
                break
            if not (protocol.should_close or _has_news(protocol.transport)):
                return connection
            connection.close()
        if protocol is not None:
            self._used.add(protocol)
        return connection


def _has_news(transport: asyncio.BaseTransport | None) -> bool:
    if transport is None:
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))


class _Answer(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise as_httpx(error) from None

    async def aclose(self) -> None:
        self._answer.close()


class _Body(aiohttp.BytesPayload):
    """aiohttp limits connecting and reading; this adds the limit on writing."""

    def __init__(self, body: bytes, write_s: float | None) -> None:
        super().__init__(body)
        self._write_s = write_s

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        try:
            async with asyncio.timeout(self._write_s):
                await super().write_with_length(writer, content_length)
        except TimeoutError:
            # Closing would wait until the rest is written.
            if isinstance(writer, StreamWriter) and writer.transport:
                writer.transport.abort()
            raise


@lru_cache(maxsize=16)
def _timeout(pool_s: float | None, connect_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    # aiohttp's `connect` is the time until there is a connection, `sock_connect` that of one attempt.
    until_connected = None if pool_s is None or connect_s is None else pool_s + connect_s
    return aiohttp.ClientTimeout(
        total=None, connect=until_connected, sock_connect=connect_s, sock_read=read_s
    )


def as_httpx(error: Exception) -> httpx.TransportError:
    """The error of httpx that says the same. Its text names the kind alone: others may contain the request."""
    return _kind_of(error)(type(error).__name__)


def _kind_of(error: Exception) -> type[httpx.TransportError]:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():  # no address, no connection, no TLS
            return httpx.ConnectError
        case aiohttp.InvalidURL():
            return httpx.UnsupportedProtocol
        case aiohttp.SocketTimeoutError():
            return httpx.ReadTimeout
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError
        case TimeoutError():
            return httpx.WriteTimeout
        case ValueError():  # a header with a line break
            return httpx.LocalProtocolError
        case _:
            return httpx.ReadError
