"""Control (j) of renewals: a job of procrastinate for each due subscription, hand-written SQL, two commits each.

    python -m benchmarks.controls.job_renewals SHARE OF

Set up as its documentation says: async tasks, a pool of connections, many jobs deferred at once, finished jobs deleted.
Faster than its defaults: 8 jobs at a time in each process (one by default; 16, 32 and 64 were slower), and connections that
are not checked each time they leave the pool. Where the processes are OF, each defers its SHARE of what is due; all work on
one queue.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import procrastinate
import uvloop
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.figures import cpu_s, peak_mib
from benchmarks.instant import InstantProvider
from shared_lib.domain.money import Money
from shared_lib.providers.base import ChargeRequest, SavedMethodRef

JOBS_AT_ONCE: Final = 8
POOL_SIZE: Final = 16
DEFERRED_AT_ONCE: Final = 1_000
OPEN: Final = (Path(__file__).parent / "open_renewal.sql").read_bytes()
SETTLE: Final = (Path(__file__).parent / "settle_renewal.sql").read_bytes()
# A job that ran before and died after its first commit asks again, with the same payment.
UNFINISHED: Final = b"""
    SELECT o.id AS order_id, p.id AS payment_id, p.amount_minor, p.currency, o.product_title, m.provider,
           m.provider_ref AS card
    FROM subscriptions s JOIN orders o ON o.id = s.open_order_id JOIN payments p ON p.order_id = o.id
    JOIN payment_methods m ON m.id = p.payment_method_id
    WHERE s.id = %(subscription_id)s AND p.status = 'sending'
"""
DUE: Final = b"""
    SELECT id FROM subscriptions
    WHERE next_action_at <= boxoffice_now() AND auto_renew AND id > %s AND abs(hashtext(id)) %% %s = %s
    ORDER BY id LIMIT %s
"""

app = procrastinate.App(connector=procrastinate.PsycopgConnector())
pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
    os.environ["BOXOFFICE_DATABASE_URL"],
    min_size=POOL_SIZE,
    max_size=POOL_SIZE,
    open=False,
    kwargs={"autocommit": True, "row_factory": namedtuple_row, "prepare_threshold": 1},
)
provider = InstantProvider()


@app.task(name="renew", queue="renewals", retry=3)
async def renew(subscription_id: str) -> None:
    asked = {"subscription_id": subscription_id}
    async with pool.connection() as db:
        order = await (await db.execute(OPEN, asked)).fetchone()
        if order is None:
            order = await (await db.execute(UNFINISHED, asked)).fetchone()
        if order is None:
            return
    said = await provider.charge(
        ChargeRequest(
            payment_id=order.payment_id,
            order_id=order.order_id,
            amount=Money(order.amount_minor, order.currency),
            method=SavedMethodRef(provider=order.provider, method_id=order.card),
            description=order.product_title,
            idempotency_key=order.payment_id,
        )
    )
    settled = asked | {
        "payment_id": order.payment_id,
        "ref": said.ref.provider_payment_id,
        "captured": said.captured.minor,
    }
    async with pool.connection() as db:
        await db.execute(SETTLE, settled)


async def defer_due(share: int, of: int) -> int:
    """The tick: a job for each due subscription of this share."""
    total, last = 0, ""
    while True:
        async with pool.connection() as db:
            due = await (await db.execute(DUE, [last, of, share, DEFERRED_AT_ONCE])).fetchall()
        if not due:
            return total
        await renew.batch_defer_async(*({"subscription_id": row.id} for row in due))
        total, last = total + len(due), due[-1].id


async def renew_all_due(share: int, of: int) -> dict[str, Any]:
    """`renewed` are those of this share; with another process each may do some of the other's jobs."""
    began, used_s = time.perf_counter(), cpu_s(os.getpid())
    deferred = await defer_due(share, of)
    await app.run_worker_async(
        queues=["renewals"],
        concurrency=JOBS_AT_ONCE,
        wait=False,
        listen_notify=False,  # all jobs are there before it starts
        delete_jobs="successful",
        install_signal_handlers=False,
    )
    return {
        "renewed": deferred,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(os.getpid()) - used_s,
        "peak_mib": peak_mib(os.getpid()),
    }


async def create_tables() -> None:
    """Once in a database: procrastinate's own."""
    async with pool.connection() as db:
        found = await (await db.execute("SELECT to_regclass('procrastinate_jobs') AS jobs")).fetchone()
    if found is None or found.jobs is None:
        await app.schema_manager.apply_schema_async()


async def serve(share: int, of: int) -> None:
    loop = asyncio.get_running_loop()
    async with pool, app.open_async(pool):
        await create_tables()
        print("ready", flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await renew_all_due(share, of)), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
