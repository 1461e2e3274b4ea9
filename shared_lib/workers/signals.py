"""Stopping gracefully: SIGTERM and SIGINT set an event, which the workers' loops watch."""

from __future__ import annotations

import asyncio
import signal


def until_stopped() -> asyncio.Event:
    """An event that is set when this process is asked to end."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    return stop
