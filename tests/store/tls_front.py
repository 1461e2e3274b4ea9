"""TLS in front of a PostgreSQL whose build has none: the negotiation of the protocol, then every byte passed on.

Clients see what they would see of a server with `ssl = on`; unencrypted sessions are refused, as `hostssl` alone does.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


class TlsFront:
    """Listens on loopback in a thread of its own."""

    def __init__(self, upstream: str, context: ssl.SSLContext) -> None:
        self._upstream = urlsplit(upstream)
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.encrypted = 0
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """The superuser's, through here."""
        user = self._upstream.netloc.rpartition("@")[0]
        return urlunsplit(self._upstream._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        own = asyncio.current_task()
        sessions = [task for task in asyncio.all_tasks() if task is not own]
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                while (asked := int.from_bytes((await reader.readexactly(8))[4:])) == _GSS_REQUEST:
                    writer.write(b"N")
                if asked != _SSL_REQUEST:
                    return
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._context)
                self.encrypted += 1
                await self._pass_on(reader, writer)
            finally:
                writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            pumps = [_pump(reader, there[1]), _pump(there[0], writer)]
            await asyncio.wait(map(asyncio.ensure_future, pumps), return_when=asyncio.FIRST_COMPLETED)
        finally:
            there[1].close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await source.read(1 << 16):
            sink.write(block)
            await sink.drain()
        sink.close()
