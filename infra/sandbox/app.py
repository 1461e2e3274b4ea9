"""The service put together: the engine with its face, page and control surface, and the two loops beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox import control
from infra.sandbox.engine.core import NATIVE, Config, Sandbox, WebhookFormat
from infra.sandbox.engine.due import run_due
from infra.sandbox.engine.sender import WebhookSender
from infra.sandbox.faces import page
from infra.sandbox.faces.native import api
from infra.sandbox.faces.native.events import NativeWebhooks
from infra.sandbox.faces.stripe import api as stripe
from infra.sandbox.faces.stripe.events import StripeWebhooks
from infra.sandbox.faces.stripe.ids import FACE as STRIPE
from infra.sandbox.faces.yookassa import api as yookassa
from infra.sandbox.faces.yookassa.events import YooKassaWebhooks
from infra.sandbox.faces.yookassa.ids import FACE as YOOKASSA

TICK_S = 0.25

log = logging.getLogger("sandbox")


def build(config: Config) -> Starlette:
    webhooks: dict[str, WebhookFormat] = {
        NATIVE: NativeWebhooks(),
        STRIPE: StripeWebhooks(),
        YOOKASSA: YooKassaWebhooks(),
    }
    sandbox = Sandbox(config, webhooks)
    sender = WebhookSender(sandbox)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loops = [
            asyncio.create_task(_repeated(sender.run)),
            asyncio.create_task(_repeated(lambda: _tick(sandbox))),
        ]
        yield
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await sender.aclose()
        sandbox.db.close()

    routes = [*api.routes(), *stripe.routes(), *yookassa.routes(), *page.routes(), Route("/livez", _alive)]
    app = Starlette(routes=[*routes, *(control.routes() if config.control else [])], lifespan=lifespan)
    app.state.sandbox, app.state.sender = sandbox, sender
    return app


async def _alive(request: Request) -> Response:  # noqa: ARG001  # an endpoint takes its request
    return JSONResponse({"alive": True})


async def _tick(sandbox: Sandbox) -> None:
    """Time passes for payments and refunds even when no call comes in."""
    while True:
        with sandbox.moment() as at:
            run_due(at)
        await asyncio.sleep(TICK_S)


async def _repeated(run: Callable[[], Awaitable[None]]) -> None:
    """A loop that starts again after an exception, so that a fault of the simulator does not stop all webhooks."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("A background loop failed; it starts again.")
            await asyncio.sleep(1)
