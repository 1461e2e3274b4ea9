"""A wire to a server that can fall silent: it takes every byte and connection, and nothing comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from tests.kit.waiting import PATIENCE_S

_CHUNK = 1 << 16


class SilentWire:
    """Listens on loopback. `silent` may be set and cleared at any time."""

    def __init__(self, upstream: str) -> None:
        self._parts = urlsplit(upstream)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self.silent = False
        self.swallowed = 0  # bytes
        self.port = 0

    @property
    def url(self) -> str:
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        async with server:
            await self._stopped.wait()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(3):  # the loop closes the sockets of transports that were aborted
            await asyncio.sleep(0)

    def run(self) -> None:
        self._stopped = asyncio.Event()
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)

    def wait(self) -> None:
        assert self._listening.wait(PATIENCE_S)

    async def until_swallowed(self) -> None:
        """Wait until a client has sent bytes, which this server does not answer."""
        while not self.swallowed:  # noqa: ASYNC110  # it runs in another thread
            await asyncio.sleep(0.02)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ends = [writer]
        try:
            back, forth = await asyncio.open_connection(self._parts.hostname, self._parts.port)
            ends.append(forth)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, forth))
                group.create_task(self._copy(back, writer))
        finally:
            for end in ends:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.silent:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
            writer.close()


@contextmanager
def silent_wire(upstream: str) -> Iterator[SilentWire]:
    """A wire that forwards until it is silent. It is gone when the block ends."""
    wire = SilentWire(upstream)
    thread = threading.Thread(target=wire.run)
    thread.start()
    wire.wait()
    try:
        yield wire
    finally:
        wire.stop()
        thread.join(PATIENCE_S)
