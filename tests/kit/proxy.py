"""A wire between us and PostgreSQL that can be cut at a COMMIT. Runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tests.kit.waiting import PATIENCE_S

_COMMIT = b"COMMIT\0"
_CHUNK = 1 << 16


@dataclass
class Cut:
    """The next COMMIT behind a statement that holds `after` is forwarded (or not), and its answer never comes."""

    after: bytes
    forward: bool
    done: threading.Event


class Proxy:
    def __init__(self, upstream: str) -> None:
        self._parts = urlsplit(upstream)
        self._cut: Cut | None = None
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """The database behind this wire."""
        user = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    def cut(self, *, after: bytes, forward: bool = True) -> threading.Event:
        """Arm the wire. The event tells that it was cut."""
        self._cut = Cut(after, forward, threading.Event())
        return self._cut.done

    def run(self, ready: threading.Event) -> None:
        self._loop.run_until_complete(self._listen())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # a connection that was accepted just now has its task
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(3):  # the loop closes the sockets of transports that were aborted
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ends = [writer]
        try:
            back, forth = await asyncio.open_connection(self._parts.hostname, self._parts.port)
            ends.append(forth)
            answers = asyncio.create_task(_copy(back, writer))
            try:
                await self._forward(reader, forth, answers)
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
            for end in ends:
                end.close()
            for end in ends:
                with suppress(OSError):
                    await end.wait_closed()
        finally:  # closed already, unless the wire itself ended meanwhile
            for end in ends:
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        behind = b""
        while data := await reader.read(_CHUNK):
            behind += data
            cut = self._cut
            if cut and cut.after in behind and _COMMIT in data:
                self._cut = None
                answers.cancel()  # nothing comes back any more
                if cut.forward:
                    forth.write(data)
                    await forth.drain()
                    await asyncio.sleep(0.1)  # the server takes the COMMIT before it sees the connection end
                cut.done.set()
                return
            if _COMMIT in data:
                behind = b""
            forth.write(data)
            await forth.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def wire_to(upstream: str) -> Iterator[Proxy]:
    """A proxy that listens on loopback until the block ends."""
    proxy, ready = Proxy(upstream), threading.Event()
    thread = threading.Thread(target=proxy.run, args=[ready])
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(PATIENCE_S)
