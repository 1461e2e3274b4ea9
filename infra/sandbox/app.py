"""The service put together: API, page, control surface, and the two loops that run beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox import api, control, page
from infra.sandbox.core import Config, Sandbox
from infra.sandbox.due import run_due
from infra.sandbox.webhooks import Courier

TICK_S = 0.25

log = logging.getLogger("sandbox")


def build(config: Config) -> Starlette:
    sandbox = Sandbox(config)
    courier = Courier(sandbox)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loops = [
            asyncio.create_task(_lasting(courier.run)),
            asyncio.create_task(_lasting(lambda: _tick(sandbox))),
        ]
        yield
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await courier.aclose()
        sandbox.db.close()

    routes = [*api.routes(), *page.routes(), Route("/livez", _alive)]
    app = Starlette(routes=[*routes, *(control.routes() if config.control else [])], lifespan=lifespan)
    app.state.sandbox, app.state.courier = sandbox, courier
    return app


async def _alive(request: Request) -> Response:  # noqa: ARG001  # an endpoint takes its request
    return JSONResponse({"alive": True})


async def _tick(sandbox: Sandbox) -> None:
    """Time passes for payments and refunds even when nobody asks."""
    while True:
        with sandbox.moment() as at:
            run_due(at)
        await asyncio.sleep(TICK_S)


async def _lasting(run: Callable[[], Awaitable[None]]) -> None:
    """A loop that outlives its own mistakes: a simulator that stops delivering teaches nothing."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("A background loop failed; it starts again.")
            await asyncio.sleep(1)
