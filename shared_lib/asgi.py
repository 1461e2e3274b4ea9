"""One door as an ASGI app: functions-framework's, with the lifespan and the probes it lacks.

    FUNCTION=create_order uvicorn shared_lib.asgi:app --lifespan on --timeout-keep-alive 95

/livez answers while the process lives; /readyz asks PostgreSQL alone, because a door without Redis or a provider
still works.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import functions_framework.aio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared_lib import log
from shared_lib.domain.errors import Transient
from shared_lib.event_gate import EventGate, as_problem
from shared_lib.event_proof import event_guard
from shared_lib.http import verifier
from shared_lib.phases.probing import refuse_power_over_the_ledger, refuse_test_clock, serves
from shared_lib.runtime import Runtime, install
from shared_lib.settings import Environment, settings_of

FUNCTIONS: Final = Path(__file__).parents[1] / "functions"
GC_THRESHOLDS: Final = (20_000, 20, 50)  # by default a batch of a thousand would be searched a hundred times
READY_S: Final = 2.0  # a probe that is answered later was given up by its sender
DOORS: Final = tuple(sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py")))
# Doors of people, which may take events at /events beside. All others take events alone: every request must prove itself.
HTTP_DOORS: Final = frozenset({"account", "create_order", "refund", "subscription", "webhook"})
EVENTLESS_DOORS: Final = frozenset({"account", "subscription", "webhook"})


def door(name: str) -> ASGIApp:
    """The functions-framework app of one function, behind the gate for events. It expects a runtime to be installed."""
    if name not in DOORS:
        raise SystemExit(f"FUNCTION={name!r} is not one of {', '.join(DOORS)}")
    make: Any = functions_framework.aio.create_asgi_app  # untyped
    app: Starlette = make(name, str(FUNCTIONS / name / "main.py"))
    only_events = name not in HTTP_DOORS
    if only_events:
        app.add_exception_handler(HTTPException, as_problem)
    return EventGate(app, name, everything=only_events)


@asynccontextmanager
async def warm(name: str) -> AsyncIterator[Runtime]:
    """Open what a warm instance keeps, and close it when the server stops."""
    log.configure(function=name)
    rt = await Runtime.open(settings_of(name))
    try:
        if rt.settings.environment is Environment.PRODUCTION:
            await rt.read(refuse_test_clock, None)
            await rt.read(refuse_power_over_the_ledger, None)
        if rt.settings.auth_jwks_url:
            await verifier(rt).warm_up()
        if name not in EVENTLESS_DOORS:
            await believe_senders(rt)
        install(rt)
        settle_down()
        yield rt
    finally:
        install(None)
        await rt.aclose()


async def believe_senders(rt: Runtime) -> None:
    """Read the secrets and keys of senders. In production a door that believes none does not start; elsewhere it
    refuses every event.
    """
    guard = event_guard(rt)
    if guard.believes_nothing and rt.settings.environment is Environment.PRODUCTION:
        raise ValueError(
            "set BOXOFFICE_EVENT_SECRETS or BOXOFFICE_EVENT_OIDC_*: no sender of events is believed"
        )
    if guard.tokens:
        await guard.tokens.warm_up()


def settle_down() -> None:
    """What was imported stays, so the collector need not look at it again; batches make values, hardly cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class Door:
    """Probes and lifespan around a function; everything else is the function's own."""

    def __init__(self, name: str) -> None:
        self._function = door(name)
        self._rt: Runtime | None = None
        self._frame = Starlette(
            routes=[Route("/livez", _alive), Route("/readyz", self._ready)],
            lifespan=lambda _: self._lifespan(name),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        framed = scope["type"] == "lifespan" or scope.get("path") in ("/livez", "/readyz")
        if not framed:
            # The framework names each invocation, with a generator that costs as much as reading the body.
            scope["headers"] = [*scope["headers"], (b"function-execution-id", os.urandom(6).hex().encode())]
        await (self._frame if framed else self._function)(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, name: str) -> AsyncIterator[None]:
        async with warm(name) as rt:
            self._rt = rt
            yield
        self._rt = None

    async def _ready(self, _: Request) -> Response:
        try:
            if self._rt is not None and await self._rt.read(serves, None, within_s=READY_S):
                return PlainTextResponse("ready")
        except Transient:
            pass
        return PlainTextResponse("not ready", 503)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("alive")


def __getattr__(name: str) -> Any:
    """`shared_lib.asgi:app` is made on first use, so that importing this module needs no environment."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = Door(os.environ["FUNCTION"])
    return app
