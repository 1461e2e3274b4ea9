"""Run a stack until it ends or a signal stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from infra.local.console import Console
from infra.local.home import Home, typed


async def until_stopped(
    home: Home, console: Console, run: Coroutine[Any, Any, int], stopped_code: Callable[[signal.Signals], int]
) -> int:
    """SIGINT and SIGTERM cancel `run`, which then cleans up. Returns its exit code, or that of the signal."""
    task = asyncio.ensure_future(run)
    loop = asyncio.get_running_loop()
    stopped: list[signal.Signals] = []

    def stop(how: signal.Signals) -> None:
        if not stopped:  # a second signal does not interrupt the cleanup, which ends within seconds
            stopped.append(how)
            task.cancel()

    for how in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(how, stop, how)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        console.say(f"Stopped. The data is kept in {typed(home.folder)}")
        return stopped_code(stopped[0])
