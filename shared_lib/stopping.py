"""SIGTERM in two steps: the process first reports that it is stopping, then its server stops."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
