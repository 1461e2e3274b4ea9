"""A server on a real socket that does to each connection what the test says, and knows what it has heard."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.foreign.rude import document

GUARD_S: Final = 60.0
END: Final = b"\r\n\r\n"
PAYMENT: Final = {
    "id": "sbx_1", "status": "pending", "amount_minor": 999, "captured_minor": 0, "refunded_minor": 0,
    "currency": "EUR", "metadata": {"payment_id": "pay_1", "order_id": "ord_1"}, "livemode": False,
    "checkout_url": "https://pay.example/1", "expires_at": "2030-01-01T00:00:00+00:00",
}  # fmt: skip


def answered(body: bytes = document(**PAYMENT), *lines: str, status: str = "200 OK") -> bytes:
    """A whole answer that leaves its connection open."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + END + body


class Heard:
    """One request on one connection, and what can be done about it. `n`: the how manieth of its connection, from 1."""

    def __init__(
        self, request: bytes, n: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.request, self.n = request, n
        self._reader, self._writer = reader, writer

    @property
    def head(self) -> str:
        return self.request.partition(END)[0].decode().lower()

    async def say(self, said: bytes) -> None:
        self._writer.write(said)
        await self._writer.drain()

    async def silence(self) -> None:
        """Say nothing until the client has closed the connection."""
        await self._reader.read()

    def close(self) -> None:
        self._writer.close()

    def end(self) -> None:
        """FIN at once, and the other direction stays open."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Heard], Awaitable[None]]


async def well(heard: Heard) -> None:
    """The payment, and the connection stays open."""
    await heard.say(answered())


async def silent(heard: Heard) -> None:
    await heard.silence()


class Scripted:
    """`script` is what happens to the requests from now on. `open`: connections that neither side has closed."""

    def __init__(self) -> None:
        self.script: Script = well
        self.heard: list[Heard] = []
        self.connections = self.open = 0
        self.url = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        n = 0
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    request, n = await _request(reader), n + 1
                    self.heard.append(Heard(request, n, reader, writer))
                    await self.script(self.heard[-1])
        finally:
            self.open -= 1
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(END)
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


@asynccontextmanager
async def scripted(tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    server = Scripted()
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(server.connected(reader, writer)))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # they close in the next turn of the loop
