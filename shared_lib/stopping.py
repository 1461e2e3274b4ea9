"""SIGTERM in two steps: first the process says that it is going, then its server stops."""

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

    uvicorn closes its listening socket and every idle connection within 0.1 s of the signal; a request that is on its way
    over one of them is lost. During the drain the process still accepts and answers, so that those who send learn first.
    A second SIGTERM ends the drain. Without a handler of a server, or outside the main thread, nothing is changed.
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
            loop.call_soon_threadsafe(begin)  # which wakes a loop that sleeps

    signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
