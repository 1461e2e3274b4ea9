"""A server that answers every request as it was told to, however wrong. Real sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Final

_END: Final = b"\r\n\r\n"
BOMB_BYTES: Final = 300 << 20


def head(status: str = "200 OK", **headers: str) -> bytes:
    # Every connection ends with its answer, and says so: the client must not send another request into its end.
    lines = [
        f"HTTP/1.1 {status}",
        "connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + _END


def whole(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    return head(status, content_length=str(len(body)), **headers) + body


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """300 MB of a JSON text, gzipped to 300 kB."""
    packer = zlib.compressobj(level=9, wbits=31)
    parts = [packer.compress(b'{"id":"')]
    block = b"a" * (1 << 20)
    parts += [packer.compress(block) for _ in range(BOMB_BYTES >> 20)]
    return b"".join([*parts, packer.compress(b'"}'), packer.flush()])


def gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


async def endless(writer: asyncio.StreamWriter) -> None:
    """A body without end, as fast as it is read."""
    writer.write(head(transfer_encoding="chunked"))
    block = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    while True:
        writer.write(block)
        await writer.drain()


async def endless_gzip(writer: asyncio.StreamWriter) -> None:
    """The same in very few bytes of the wire."""
    writer.write(head(transfer_encoding="chunked", content_encoding="gzip"))
    packer = zlib.compressobj(wbits=31)
    while True:
        block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
        writer.write(b"%x\r\n%b\r\n" % (len(block), block))
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    """One byte at a time: each read is in time, and the answer never ends."""
    writer.write(head(transfer_encoding="chunked"))
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def dripping_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


Answer = bytes | Callable[[asyncio.StreamWriter], object]


def document(**fields: object) -> bytes:
    return json.dumps(fields).encode()


DEEP: Final = 100_000
# What each answer is, by a name for the test's report.
ANSWERS: Final[dict[str, Callable[[], Answer]]] = {
    "brackets without end": lambda: whole(b"[" * DEEP),
    "objects without end": lambda: whole(b'{"a":' * DEEP),
    "a hundred levels": lambda: whole(b'{"id":' + b"[" * 100 + b"]" * 100 + b"}"),
    "a bomb": lambda: whole(bomb(), content_encoding="gzip"),
    "a bomb in deflate": lambda: whole(zlib.compress(b" " * (64 << 20)), content_encoding="deflate"),
    "a body without end": lambda: endless,
    "a gzip without end": lambda: endless_gzip,
    "a body that drips": lambda: drip,
    "a head that drips": lambda: dripping_head,
    "two megabytes": lambda: whole(b'{"id":"' + b"a" * (2 << 20) + b'"}'),
    "too many items": lambda: whole(b'{"data":[' + b"1," * 100_000 + b"1]}"),
    "an id of 1 MB": lambda: whole(document(id="a" * (1_000_000), currency="EUR", status="pending")),
    "less than announced": lambda: head(content_length="1000") + b'{"id":',
    "an encoding that was not asked for": lambda: whole(b"\x8b\x03\x80{}\x03", content_encoding="br"),
    "a gzip that is none": lambda: whole(b"{}", content_encoding="gzip"),
    "half a gzip": lambda: whole(gzipped(document(id="a" * 100))[:-12], content_encoding="gzip"),
    "no JSON": lambda: whole(b"<html>"),
    "nothing": lambda: whole(b""),
    "NaN": lambda: whole(b'{"id":NaN}'),
    "Infinity": lambda: whole(b'{"amount_minor":Infinity}'),
    "a float without end": lambda: whole(b'{"amount_minor":1e999}'),
    "a number of ten thousand digits": lambda: whole(b'{"amount_minor":' + b"9" * 10_000 + b"}"),
    "more than a bigint": lambda: whole(b'{"amount_minor":9223372036854775808}'),
    "a name that appears twice": lambda: whole(b'{"id":"a","id":"b"}'),
    "NUL": lambda: whole(b'{"id":"a\\u0000"}'),
    "NUL in a name": lambda: whole(b'{"id\\u0000":"a"}'),
    "half a surrogate pair": lambda: whole(b'{"id":"\\ud800"}'),
    "no UTF-8": lambda: whole(b'{"id":"\xff"}'),
    "UTF-16": lambda: whole('{"id":"a"}'.encode("utf-16")),
    "no HTTP": lambda: b"SSH-2.0-OpenSSH\r\n",
    "a status that is none": lambda: b"HTTP/1.1 abc OK\r\n\r\n",
    "the end": lambda: b"",
    "a redirect": lambda: whole(b"", "302 Found", location="http://127.0.0.1:9/"),
    "an error without a word": lambda: whole(b"[" * DEEP, "500 Internal Server Error"),
}


class Rude:
    """`answer` is what the next requests get."""

    def __init__(self) -> None:
        self.answer: Answer = whole(b"{}")
        self.requests = 0
        self.port = 0
        self._listening = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopped.wait()
        server.close()

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run)
        self._thread.start()
        self._listening.wait(5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await reader.readuntil(_END)
            for line in request.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
            self.requests += 1
            answer = self.answer
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)  # type: ignore[misc]
        writer.close()


@contextmanager
def rude_server() -> Iterator[Rude]:
    server = Rude()
    server.start()
    try:
        yield server
    finally:
        server.stop()
