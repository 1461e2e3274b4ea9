"""SIGTERM in two steps: the process first reports that it is stopping, then its server stops."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from shared_lib.owned import owned


@contextmanager
def drained(begun: asyncio.Event, drain_s: float) -> Iterator[None]:
    """Inside the block SIGTERM sets `begun` at once and reaches the server's own handler `drain_s` seconds later.

    uvicorn closes its listening socket and every idle connection within 0.1 s of the signal; a request in transit on one of
    them is lost. During the drain the process still accepts and answers requests, so that clients and platforms notice first.
    A second SIGTERM ends the drain. Without a server's handler, or outside the main thread, nothing changes.
    """
    server = signal.getsignal(signal.SIGTERM)
    if not callable(server) or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler, loop = server, asyncio.get_running_loop()

    def stop() -> None:
        handler(signal.SIGTERM, None)

    def begin() -> None:
        begun.set()
        loop.call_later(drain_s, stop)

    def heard(number: int, frame: FrameType | None) -> None:
        if begun.is_set():
            handler(number, frame)
        else:
            loop.call_soon_threadsafe(begin)  # this wakes a sleeping loop

    signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def closed_first(close: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Inside the block SIGTERM and SIGINT await `close` and only then reach the server's own handlers.

    For a server that runs no lifespan of ours: after its own stop, uvicorn ends the process by the signal, before the loop
    could clean up. SIGINT during `close` reaches the server at once. Without a server's handlers, or outside the main thread,
    nothing changes.
    """
    servers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if not all(map(callable, servers.values())) or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, closing = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def stop(number: int, frame: FrameType | None = None) -> None:
        server = servers[signal.Signals(number)]
        assert callable(server)
        server(number, frame)

    def begin(number: int) -> None:
        if not closing:
            task = owned(close(), name="close", died=lambda _: None)
            task.add_done_callback(lambda _: stop(number))  # however it ended
            closing.add(task)

    def heard(number: int, frame: FrameType | None) -> None:
        if closing and number == signal.SIGINT:
            stop(number, frame)
        else:
            loop.call_soon_threadsafe(begin, number)

    for number in servers:
        signal.signal(number, heard)
    try:
        yield
    finally:
        for number, server in servers.items():
            signal.signal(number, server)
