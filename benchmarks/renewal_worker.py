"""Our renewals in a process of their own: the code of functions/renew, and the part of the relay that hands jobs on.

    python -m benchmarks.renewal_worker [PLACE OF]     # the second of two: 1 2

Reads a line from stdin, renews everything that is due, writes one line of JSON; until stdin ends.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
import uvloop

from benchmarks.figures import cpu_s, peak_mib, resident_mib
from shared_lib import log
from shared_lib.runtime import Runtime, install
from shared_lib.settings import settings
from shared_lib.web.asgi import settle_down

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


async def renew_all_due(rt: Runtime, renew: ModuleType, lanes: Sequence[int], of: int) -> dict[str, Any]:
    """Claim what is due; charge chunk by chunk while claiming goes on, as the relay's deliveries would.

    `lanes` are ours of all the `of` lanes that jobs are dealt to.
    """
    began, used_s = time.perf_counter(), cpu_s(os.getpid())
    memory_mib: list[float] = []
    claiming = asyncio.create_task(claim(rt, renew))
    charged = await asyncio.gather(*(charge(rt, renew, claiming, (lane, of), memory_mib) for lane in lanes))
    return {
        "renewed": sum(charged),
        "claimed": await claiming,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(os.getpid()) - used_s,
        "memory_mib": memory_mib,
        "peak_mib": peak_mib(os.getpid()),
    }


async def claim(rt: Runtime, renew: ModuleType) -> int:
    """Ticks until nothing is due: a tick ends after 20 s."""
    total = 0
    while claimed := await renew.claim_all_due(rt):
        total += claimed
    return total


async def charge(
    rt: Runtime,
    renew: ModuleType,
    claiming: asyncio.Task[int],
    lane: tuple[int, int],
    memory_mib: list[float],
) -> int:
    """Deliver the jobs of one lane: read, charge, delete; until none is left to come."""
    total = 0
    async with await psycopg.AsyncConnection.connect(rt.settings.database_url, autocommit=True) as db:
        while True:
            last_look = claiming.done() and not await anything_due(db)
            cursor = await db.execute(
                """
                SELECT id, data FROM outbox WHERE type = 'billing.job.charge_renewals' AND id %% %s = %s
                ORDER BY id LIMIT 10
                """,
                [lane[1], lane[0]],
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


async def anything_due(db: psycopg.AsyncConnection[Any]) -> bool:
    """Another process may still be claiming; its jobs appear with its commit."""
    cursor = await db.execute(
        "SELECT EXISTS (SELECT FROM subscriptions WHERE next_action_at <= boxoffice_now())"
    )
    row = await cursor.fetchone()
    return row is None or bool(row[0])


async def serve(place: int, of: int) -> None:
    log.configure(function="renew")
    rt = await Runtime.open(settings())
    install(rt)
    renew = door()
    settle_down()  # as the door does when it is warm
    lanes = range(place * CHUNKS_AT_ONCE, (place + 1) * CHUNKS_AT_ONCE)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await renew_all_due(rt, renew, lanes, of * CHUNKS_AT_ONCE)), flush=True)
    await rt.aclose()


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:] or ("0", "1"))))
