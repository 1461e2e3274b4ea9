"""Requests over aiohttp's connections and parser, each sent once, without aiohttp's session.

aiohttp's connector opens and keeps connections (names, TLS, proxies), its parser reads answers. Its ClientSession repeats GET,
PUT and DELETE when a kept connection breaks, follows redirects, keeps cookies, unpacks bodies and reads netrc. A payment must
not be sent twice, none of the rest is wanted, and it takes half the processor time of a request. Errors are httpx's.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
import httpx
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EofStream
from aiohttp.tracing import Trace
from multidict import CIMultiDict

from shared_lib.http_client.auth import HeaderAuth
from shared_lib.http_client.tls import tls_context

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

# Headers that aiohttp adds; httpx's callers name what they send.
_NOT_ADDED: Final = ("user-agent", "accept", "accept-encoding", "content-type")
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_TROUBLE: Final = (aiohttp.ClientError, HttpProcessingError, EofStream, OSError, ValueError)


class Session:
    """Kept connections of one event loop, and requests over them. Opened by its first request."""

    def __init__(self, *, connections_max: int, keep_alive_s: float) -> None:
        self._connections_max, self._keep_alive_s = connections_max, keep_alive_s
        self._connections: _QuietConnections | None = None
        self._servers: dict[object, aiohttp.ClientRequest] = {}
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        pool_s: float | None,
        connect_s: float | None,
        write_s: float | None,
        read_s: float | None,
        auth: HeaderAuth | None = None,
        proxy: str | None = None,
    ) -> Answer:
        """The answer, its body not read yet: the caller must close it. `method` is in capitals, `url` is encoded.

        Time limits, None for none: `pool_s` to wait until fewer than `connections_max` are in use, `connect_s` for one
        attempt to connect, `write_s` for the request, `read_s` between two pieces of the answer. Raises
        httpx.TransportError; RuntimeError when this session is closed.
        """
        where = yarl.URL(url, encoded=True)
        server = self._server(where, proxy)
        connection = await self._connected(server, pool_s, connect_s)
        try:
            protocol = connection.protocol
            assert protocol is not None
            protocol.set_response_params(
                skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False, read_timeout=read_s
            )
            writer = StreamWriter(protocol, asyncio.get_running_loop())
            target = str(where) if proxy and where.scheme == "http" else where.raw_path_qs
            # The head is made in the call, so that no frame of ours holds the header of `auth` while it waits.
            await writer.write_headers(
                f"{method} {target} HTTP/1.1", _head(server, method, headers, body, auth)
            )
            if body:
                await writer.write(body, drain=False)
            writer.set_eof()
            message = await _answered(protocol, write_s)
        except _TROUBLE as error:
            _drop(connection)
            raise as_httpx(error) from None
        except BaseException:
            _drop(connection)
            raise
        return Answer(connection, *message)

    async def aclose(self) -> None:
        """Close all connections. What is under way fails with httpx.TransportError."""
        self._closed = True
        if self._connections:
            await self._connections.close()

    def _server(self, url: yarl.URL, proxy: str | None) -> aiohttp.ClientRequest:
        """What the connector has to know of a server. It is a request, although its address and Host alone are used."""
        tls = tls_context() if url.scheme == "https" else True
        key = (url.scheme, url.raw_host, url.port, proxy, tls)
        if key not in self._servers:
            self._servers[key] = aiohttp.ClientRequest(
                "GET",
                url.origin(),
                loop=asyncio.get_running_loop(),
                skip_auto_headers=_NOT_ADDED,
                ssl=tls,
                proxy=yarl.URL(proxy) if proxy else None,
            )
        return self._servers[key]

    async def _connected(
        self, server: aiohttp.ClientRequest, pool_s: float | None, connect_s: float | None
    ) -> Connection:
        if self._closed:
            raise RuntimeError("this session is closed")
        if self._connections is None:
            self._connections = _QuietConnections(
                limit=self._connections_max, keepalive_timeout=self._keep_alive_s
            )
        try:
            return await self._connections.connect(server, [], _timeout(pool_s, connect_s))
        except TimeoutError as error:
            raise httpx.ConnectTimeout(type(error).__name__) from None
        except _TROUBLE as error:
            raise as_httpx(error) from None


class Answer(httpx.AsyncByteStream):
    """An answer whose body comes in pieces, as they were sent: packed, if it is packed. The connection is closed unless all
    of it was read, and all of the request sent.
    """

    def __init__(
        self, connection: Connection, message: RawResponseMessage, body: aiohttp.StreamReader
    ) -> None:
        self.status = message.code
        self.raw_headers = message.raw_headers
        self._connection, self._message, self._body = connection, message, body

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, without regard to case. What is not ASCII is read as Latin-1, as httpx does, so it can be encoded."""
        if all(value.isascii() for _, value in self.raw_headers):
            return self._message.headers
        return CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers
        )

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        """Raises httpx.TransportError."""
        if self._body.at_eof():
            raise StopAsyncIteration
        try:
            return await self._body.readany()
        except _TROUBLE as error:
            raise as_httpx(error) from None

    async def aclose(self) -> None:
        protocol = self._connection.protocol
        if protocol is not None and self._body.at_eof() and not protocol.writing_paused:
            self._connection.release()
        else:
            _drop(self._connection)


def _head(
    server: aiohttp.ClientRequest, method: str, headers: Headers, body: bytes, auth: HeaderAuth | None
) -> CIMultiDict[str]:
    head = server.headers.copy()  # Host, and Proxy-Authorization from the connector
    head.update(headers)
    head.popall("transfer-encoding", None)
    if body or method not in _WITHOUT_BODY:
        head["content-length"] = str(len(body))
    if auth:
        head.update([auth.header()])
    return head


async def _answered(
    protocol: ResponseHandler, write_s: float | None
) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """The head of the answer, which may come before a long request was taken."""
    overdue = None
    if protocol.writing_paused and write_s is not None:
        overdue = asyncio.get_running_loop().call_later(write_s, _written_or_late, protocol)
    else:
        protocol.start_timeout()  # of reading
    try:
        while True:
            message, body = await protocol.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return message, body
    finally:
        if overdue:
            overdue.cancel()


def _written_or_late(protocol: ResponseHandler) -> None:
    if protocol.writing_paused:
        protocol.abort()
        protocol.set_exception(httpx.WriteTimeout("the server does not read"))
    else:
        protocol.start_timeout()


def _drop(connection: Connection) -> None:
    protocol = connection.protocol
    if protocol is not None and protocol.writing_paused:
        protocol.abort()  # closing would wait until the rest is written
    connection.close()


class _QuietConnections(aiohttp.TCPConnector):
    """Uses a kept connection only while nothing has arrived on it.

    What has arrived is its end, after which a request would be lost, or bytes that aiohttp would read as the answer to the
    next request. The event loop may not have read them yet, so the socket is asked too, as httpx does.
    """

    def __init__(self, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._used: WeakKeyDictionary[ResponseHandler, select.poll] = WeakKeyDictionary()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or (socket := self._used.get(protocol)) is None:
                break
            if not (protocol.should_close or socket.poll(0)):
                return connection
            connection.close()
        if protocol is not None and protocol.transport is not None:
            self._used[protocol] = socket = select.poll()
            socket.register(protocol.transport.get_extra_info("socket"), select.POLLIN)
        return connection


@lru_cache(maxsize=16)
def _timeout(pool_s: float | None, connect_s: float | None) -> aiohttp.ClientTimeout:
    # aiohttp's `connect` is the time until there is a connection, `sock_connect` that of one attempt.
    until_connected = None if pool_s is None or connect_s is None else pool_s + connect_s
    return aiohttp.ClientTimeout(connect=until_connected, sock_connect=connect_s)


def as_httpx(error: Exception) -> httpx.TransportError:
    """The error of httpx that says the same. Its text names the kind alone: others may contain the request."""
    return _kind_of(error)(type(error).__name__)


def _kind_of(error: Exception) -> type[httpx.TransportError]:
    match error:
        case aiohttp.ClientConnectorError():  # no address, no connection, no TLS
            return httpx.ConnectError
        case aiohttp.InvalidURL():
            return httpx.UnsupportedProtocol
        case TimeoutError():
            return httpx.ReadTimeout
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError
        case (
            aiohttp.ServerDisconnectedError()
            | aiohttp.ClientPayloadError()
            | aiohttp.ClientResponseError()
            | HttpProcessingError()
        ):
            return httpx.RemoteProtocolError
        case ValueError():  # a header with a line break
            return httpx.LocalProtocolError
        case _:
            return httpx.ReadError
