"""Our renewals in a process of their own: the code of functions/renew, as a tick calls it.

    python -m benchmarks.renewal_worker

Reads a line from stdin, renews everything that is due, writes one line of JSON; until stdin ends.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import uvloop

from benchmarks.figures import cpu_s, peak_mib, resident_mib
from shared_lib import log
from shared_lib.garbage import settle_down
from shared_lib.runtime import Runtime, install
from shared_lib.settings import settings

MEMORY_EVERY_S: Final = 0.2
DOOR: Final = Path(__file__).parents[1] / "functions" / "renew" / "main.py"


def door() -> ModuleType:
    """The function file itself, as functions-framework loads it."""
    spec = importlib.util.spec_from_file_location("renew_door", DOOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def renew_all_due(rt: Runtime, renew: ModuleType) -> dict[str, Any]:
    """Ticks until nothing is due: a tick ends after 20 s."""
    began, used_s, total = time.perf_counter(), cpu_s(os.getpid()), 0
    memory_mib: list[float] = []
    watching = asyncio.create_task(watch(memory_mib))
    while renewed := await renew.renew_all_due(rt):
        total += renewed
    watching.cancel()
    return {
        "renewed": total,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(os.getpid()) - used_s,
        "memory_mib": memory_mib,
        "peak_mib": peak_mib(os.getpid()),
    }


async def watch(memory_mib: list[float]) -> None:
    while True:
        memory_mib.append(resident_mib(os.getpid()))
        await asyncio.sleep(MEMORY_EVERY_S)


async def serve() -> None:
    log.configure(function="renew")
    rt = await Runtime.open(settings())
    install(rt)
    renew = door()
    settle_down()  # as the door does when it is warm
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await renew_all_due(rt, renew)), flush=True)
    await rt.aclose()


if __name__ == "__main__":
    uvloop.run(serve())
