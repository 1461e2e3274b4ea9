"""A Boxoffice that ends by SIGKILL when it reaches the crash point that CRASH_AT names. For tests only.

    CRASH_AT=open_orders:after_commit uvicorn tests.kit.crash_app:app

CRASH_ROLE=relay runs a relay beside the doors.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from shared_lib.events.proof import event_signer
from shared_lib.web.asgi import warm
from shared_lib.workers.http_sink import HttpSink, to_doors
from shared_lib.workers.relay import Relay
from tests.kit.cinema import Gateway
from tests.kit.crash_points import WatchedSink, watch

CRASH_AT = os.environ.get("CRASH_AT", "")


async def die(crash_point: str) -> None:
    if crash_point == CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with warm("crashing") as rt, to_doors() as doors:
        watch(rt, die)
        stop = asyncio.Event()
        relay = Relay(rt, WatchedSink(HttpSink(doors, rt.settings.event_routes, event_signer(rt)), die))
        working = asyncio.create_task(relay.run(stop)) if os.environ.get("CRASH_ROLE") == "relay" else None
        yield
        stop.set()
        if working:
            await working


app = Starlette(lifespan=lifespan, routes=[Mount("/", Gateway(Starlette()))])
