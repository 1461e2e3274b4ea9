"""A door as an ASGI app: a function with a lifespan, probes, the gate for events and CORS around it.

serve.py gives it to a server.

/livez (/_/health for OpenFaaS) answers while the process lives. /readyz (/_/ready) is 200 once PostgreSQL has answered, until
the process is asked to end. It stays 200 while PostgreSQL is away later: the door then answers 503 within seconds, whereas a
platform that finds a door unready would hold its calls (decision 0034).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Final

import psycopg
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared_lib import log as logs
from shared_lib.contract.routes import DOORS, EVENT_DOORS, HTTP_DOORS
from shared_lib.domain.errors import Code, Refusal, Transient
from shared_lib.events.gate import EventGate, as_problem
from shared_lib.events.proof import event_guard
from shared_lib.garbage import settle_down
from shared_lib.owned import beside
from shared_lib.processes import ASKING
from shared_lib.providers.registry import load_connections
from shared_lib.queries.health import refuse_power_over_the_ledger, refuse_test_clock, serves
from shared_lib.replies import RefusedError, problem
from shared_lib.runtime import Runtime, install
from shared_lib.settings import Environment, settings_of
from shared_lib.stopping import drained
from shared_lib.web.cors import CrossOrigin
from shared_lib.web.framework import Function

log = structlog.get_logger("boxoffice")

FIRST_ANSWER_S: Final = 2.0  # time limit of a query while the database has not answered yet
RETRY_S: Final = 0.25
ALIVE: Final = ("/livez", "/_/health")
READY: Final = ("/readyz", "/_/ready")


def door(name: str, function: Function | None = None) -> ASGIApp:
    """One function behind the gate for events and CORS. Needs an installed runtime to serve.

    Without `function`, it is that of functions/{name}/main.py.
    """
    if name not in DOORS:
        raise SystemExit(f"FUNCTION={name!r} is not one of {', '.join(DOORS)}")
    called: Function = function or getattr(import_module(f"functions.{name}.main"), name)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await called(Request(scope, receive, send))
        except RefusedError as refused:
            response = as_problem(refused)
        await response(scope, receive, send)

    only_events = name not in HTTP_DOORS  # every request must prove itself, not only those to /events
    gate = EventGate(app, name, everything=only_events)
    return gate if only_events else CrossOrigin(gate)


@asynccontextmanager
async def warm(name: str) -> AsyncIterator[Runtime]:
    """Open what an instance keeps (the runtime), and close it when the server stops. The database need not be up yet."""
    logs.configure(function=name, revision=os.environ.get("K_REVISION"))  # Knative's
    rt = await Runtime.open(settings_of(name))
    try:
        if rt.settings.auth_jwks_url and name in HTTP_DOORS:
            from shared_lib.web.http import verifier  # noqa: PLC0415  # a door of events alone knows no customer's token

            await verifier(rt).warm_up()
        if name in EVENT_DOORS:
            await load_sender_keys(rt)
        if name in ASKING:  # before a probe is answered: the first order would wait for it
            load_connections(rt.settings)
        install(rt)
        settle_down()
        yield rt
    finally:
        install(None)
        await rt.aclose()
        logs.flush()  # uvicorn ends the process by the signal, after its last turn of the loop


async def load_sender_keys(rt: Runtime) -> None:
    """Load the secrets and keys that verify senders of events. Without any, a door in production does not start (ValueError);
    elsewhere it refuses every event.
    """
    guard = event_guard(rt)
    if guard.accepts_nothing and rt.settings.environment is Environment.PRODUCTION:
        raise ValueError(
            "set BOXOFFICE_EVENT_SECRETS or BOXOFFICE_EVENT_OIDC_*: no sender of events could be verified"
        )
    if guard.tokens:
        await guard.tokens.warm_up()


class Door:
    """Probes and lifespan around a function, which serves everything else.

    Until the database has answered once, every call is refused with 503 and reaches no database: it may be the wrong one.
    """

    def __init__(self, name: str, function: Function | None = None) -> None:
        self._function = door(name, function)
        self._name = name
        self._warm = False
        self._stopping = asyncio.Event()
        self._probes = frozenset({*ALIVE, *READY})
        routes = [*(Route(path, _alive) for path in ALIVE), *(Route(path, self._ready) for path in READY)]
        self._frame = Starlette(routes=routes, lifespan=lambda _: self.lifespan())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._frame(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if self._stopping.is_set() and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        if scope["path"] in self._probes:
            await self._frame(scope, receive, closing)
        elif not self._warm:
            await _COLD.response()(scope, receive, closing)
        else:
            await self._function(scope, receive, closing)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Inside the block the door serves. Raises what makes it unable to: wrong settings, a database that it must not use."""
        async with warm(self._name) as rt:
            self._stopping = rt.stopping
            why = await refuses(rt)
            self._warm = why is None
            async with beside(self._warm_up(rt, why)):
                with drained(rt.stopping, rt.settings.drain_s):
                    yield
        self._warm = False

    async def _warm_up(self, rt: Runtime, why: str | None) -> None:
        logged = None
        while why is not None:
            if why != logged:
                log.warning("not_ready", why=why)
                logged = why
            await asyncio.sleep(RETRY_S)
            try:
                why = await refuses(rt)
            except RuntimeError as wrong:  # raised at the start, it would have ended the process
                why = str(wrong)
            except Exception as bug:  # noqa: BLE001  # likewise; here the door would stay closed without a log line
                why = type(bug).__name__
        self._warm = True

    async def _ready(self, _: Request) -> Response:
        if self._stopping.is_set():
            return PlainTextResponse("stopping", 503)
        return PlainTextResponse("ready") if self._warm else PlainTextResponse("not ready", 503)


async def refuses(rt: Runtime) -> str | None:
    """Why the database is not usable yet, or None. Raises RuntimeError when this door must not use it."""
    try:
        await rt.read(serves, None, within_s=FIRST_ANSWER_S)
        if rt.settings.environment is Environment.PRODUCTION:
            await rt.read(refuse_test_clock, None, within_s=FIRST_ANSWER_S)
            await rt.read(refuse_power_over_the_ledger, None, within_s=FIRST_ANSWER_S)
    except Transient as away:
        return str(away)
    except psycopg.Error as error:  # no schema yet, or no rights in it
        return type(error).__name__
    return None


_COLD: Final = problem(
    Refusal(Code.UNAVAILABLE, "This instance is waiting for its database.", retry_after_s=1)
)


async def _alive(_: Request) -> Response:
    return PlainTextResponse("alive")
