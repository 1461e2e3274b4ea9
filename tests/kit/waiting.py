"""How a test waits for something that takes milliseconds on an idle machine.

The bound, PATIENCE_S, only ends a test that would otherwise hang: no test measures time with it. It is long because the suite also runs beside
other work, where each step may take twenty times longer. TEST_PATIENCE_S in the environment sets another bound, in seconds, for runs in which
tests are expected to wait in vain (tests/crash/mutations.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE_S: Final = float(os.environ.get("TEST_PATIENCE_S", "120"))
LOOK_EVERY_S: Final = 0.02


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S
) -> None:
    """Ask `condition` every 20 ms until it is true. Raises AssertionError when it is still false after `within_s` seconds."""
    limit = asyncio.timeout(within_s)
    try:
        async with limit:
            while True:
                answer = condition()
                if await answer if isinstance(answer, Awaitable) else answer:
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise AssertionError(f"the condition was still false after {within_s:g} s") from error
