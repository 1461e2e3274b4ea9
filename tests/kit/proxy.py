"""A proxy on loopback in front of a real server, which can lose an answer or stop answering. It runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tests.kit.waiting import PATIENCE_S, until

_COMMIT = b"COMMIT\0"
_CHUNK = 1 << 16


@dataclass
class Cut:
    """The next COMMIT behind a statement that holds `after` is forwarded (or not), and its answer is lost."""

    after: bytes
    forward: bool
    done: threading.Event


class Proxy:
    """Forwards bytes both ways. `silent` may be set and cleared at any time: bytes are then taken and dropped."""

    def __init__(self, upstream: str) -> None:
        self._parts = urlsplit(upstream)
        self._cut: Cut | None = None
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self._stopped = asyncio.Event()
        self.silent = False
        self.swallowed = 0  # bytes
        self.port = 0

    @property
    def url(self) -> str:
        """The upstream's url with this proxy's address."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def cut(self, *, after: bytes, forward: bool = True) -> threading.Event:
        """Lose the answer to a COMMIT of PostgreSQL, and the connection with it. The event is set when that happened."""
        self._cut = Cut(after, forward, threading.Event())
        return self._cut.done

    async def until_swallowed(self) -> None:
        """Wait until a client has sent bytes that get no answer."""
        await until(lambda: bool(self.swallowed))

    def run(self) -> None:
        """Listen until `stop()`; `wait()` returns once it listens."""
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    def wait(self) -> None:
        assert self._listening.wait(PATIENCE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopped.wait()
        server.close()
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
            answers = asyncio.create_task(self._copy_answers(back, writer))
            try:
                with suppress(OSError):
                    await self._forward(reader, forth, answers)
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
            for end in ends:
                end.close()
            for end in ends:
                with suppress(OSError):
                    await end.wait_closed()
        finally:  # closed already, unless the proxy itself ended meanwhile
            for end in ends:
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        behind = b""
        while data := await reader.read(_CHUNK):
            if self.silent:
                self.swallowed += len(data)
                continue
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

    async def _copy_answers(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await back.read(_CHUNK):
                if self.silent:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
            writer.close()


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A proxy that forwards to the server of `upstream`, a url, until the block ends."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    proxy.wait()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(PATIENCE_S)
