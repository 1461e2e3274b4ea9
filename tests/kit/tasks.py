"""Tasks that serve others, and how a test makes one die."""

from __future__ import annotations

import asyncio


class Planted(BaseException):
    """No Exception, so that no `except Exception` stops it."""


def stop_tasks(name: str) -> int:
    """Cancel the tasks of this loop that have this name. Returns how many there were."""
    found = [task for task in asyncio.all_tasks() if task.get_name() == name]
    for task in found:
        task.cancel()
    return len(found)
