"""Our renewals in a process of their own: the code of functions/renew, and the part of the relay that hands jobs on.

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

import psycopg
import uvloop

from benchmarks.figures import cpu_s, peak_mib, resident_mib
from shared_lib import log
from shared_lib.asgi import settle_down
from shared_lib.runtime import Runtime, install
from shared_lib.settings import settings

CHUNKS_AT_ONCE: Final = 4
IDLE_S: Final = 0.01
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
    """Claim what is due; charge chunk by chunk while claiming goes on, as the relay's deliveries would."""
    began, used_s = time.perf_counter(), cpu_s(os.getpid())
    memory_mib: list[float] = []
    claiming = asyncio.create_task(claim(rt, renew))
    charged = await asyncio.gather(
        *(charge(rt, renew, claiming, place, memory_mib) for place in range(CHUNKS_AT_ONCE))
    )
    return {
        "renewed": sum(charged),
        "claimed": await claiming,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(os.getpid()) - used_s,
        "memory_mib": memory_mib,
        "peak_mib": peak_mib(os.getpid()),
    }


async def claim(rt: Runtime, renew: ModuleType) -> int:
    """Ticks until nothing is due: a tick ends by itself after 20 s."""
    total = 0
    while claimed := await renew.claim_all_due(rt):
        total += claimed
    return total


async def charge(
    rt: Runtime, renew: ModuleType, claiming: asyncio.Task[int], place: int, memory_mib: list[float]
) -> int:
    """Deliver the jobs of one place: read, charge, delete; until none is left to come."""
    total = 0
    async with await psycopg.AsyncConnection.connect(rt.settings.database_url, autocommit=True) as db:
        while True:
            last_look = claiming.done()
            cursor = await db.execute(
                """
                SELECT id, data FROM outbox WHERE type = 'billing.job.charge_renewals' AND id %% %s = %s
                ORDER BY id LIMIT 10
                """,
                [CHUNKS_AT_ONCE, place],
            )
            jobs = await cursor.fetchall()
            for row_id, data in jobs:
                await renew.charge(rt, data["payment_ids"])
                await db.execute("DELETE FROM outbox WHERE id = %s", [row_id])
                total += len(data["payment_ids"])
            memory_mib.append(resident_mib(os.getpid()))
            if not jobs:
                if last_look:
                    return total
                await asyncio.sleep(IDLE_S)


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
