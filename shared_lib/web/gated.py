"""A function under the plain framework: `functions-framework --target create_order --source functions/create_order/main.py`.

The framework runs no lifespan of ours and knows no gate for events. So the first request opens the door that production runs
(shared_lib/web/asgi.py) around the same function, and every request goes through it: probes, readiness, proof of senders and
limits are the same. A signal drains and closes the door before it reaches the server.
"""

from __future__ import annotations

import asyncio
import functools
from functools import partial
from typing import Final, cast

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared_lib.domain.errors import Code, Refusal
from shared_lib.events.gate import PASSED
from shared_lib.owned import owned
from shared_lib.replies import Reply, problem
from shared_lib.stopping import closed_first
from shared_lib.web.asgi import ALIVE, Door
from shared_lib.web.framework import Function

# Time for calls under way after the drain. Drain (1 s unless set), this and closing (5 s) fit into gunicorn's 30 s.
UNDER_WAY_S: Final = 20.0

# What a server gives us. The framework's router adds names of its own, which would mislead the router of the door.
_ASGI: Final = frozenset(
    {"type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path"}
    | {"headers", "client", "server", "state", "extensions"}
)

log = structlog.get_logger("boxoffice")


def gated(function: Function) -> Function:
    """Wrap a function so that it is called by a door only: a request that has not passed one is sent through one first."""

    @functools.wraps(function)
    async def checked(request: Request) -> Response:
        if PASSED in request.scope:
            return await function(request)
        return cast("Response", plain)  # the framework only calls it, as the ASGI app that each Response is

    plain = PlainDoor(function.__name__, checked)
    return checked


class PlainDoor:
    """A door without a lifespan of its server: opened by its first request, closed by SIGTERM or SIGINT.

    While it cannot open (wrong settings, for example), each call is answered with 503, its reason is logged, and the next call
    tries again. One event loop may use it.
    """

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function = name, function
        self._door: Door | None = None
        self._life: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None]
        self._end, self._idle = asyncio.Event(), asyncio.Event()
        self._closing, self._under_way = False, 0
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {name: value for name, value in scope.items() if name in _ASGI}
        if self._door is None:
            self._door = Door(self._name, self._function)
        if scope["path"] in ALIVE:
            await self._door(scope, receive, send)
        elif self._closing:
            await _refused("This instance is stopping.").response()(scope, receive, send)
        elif not await self._is_open(self._door):
            await _refused("This instance cannot start; its log says why.").response()(scope, receive, send)
        else:
            self._under_way += 1
            self._idle.clear()
            try:
                await self._door(scope, receive, send)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

    async def _is_open(self, door: Door) -> bool:
        """Open it, once for all who wait. A caller that is cancelled does not cancel the opening."""
        if self._life is None or self._life.done():
            self._opening = opening = asyncio.get_running_loop().create_future()
            self._life = owned(self._live(door, opening), name="door", died=partial(_not_opened, opening))
        try:
            await asyncio.shield(self._opening)
        except Exception:  # noqa: BLE001  # _live has logged it
            return False
        return True

    async def _live(self, door: Door, opened: asyncio.Future[None]) -> None:
        """Hold the door open until it is to close, or until the loop ends and cancels this task."""
        try:
            with closed_first(self._close):
                async with door.lifespan():
                    opened.set_result(None)
                    log.info("door_opened")
                    await self._end.wait()
            log.info("door_closed", under_way=self._under_way)
        except Exception as error:
            log.exception("door_not_opened" if not opened.done() else "door_not_closed")
            _not_opened(opened, error)

    async def _close(self) -> None:
        """Refuse new calls, wait for those under way, close what is open."""
        self._closing = True
        try:
            async with asyncio.timeout(UNDER_WAY_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("calls_cut_off", under_way=self._under_way)
        self._end.set()
        if self._life:
            await asyncio.wait({self._life})


def _not_opened(opening: asyncio.Future[None], error: Exception) -> None:
    if not opening.done():
        opening.set_exception(error)


def _refused(detail: str) -> Reply:
    reply = problem(Refusal(Code.UNAVAILABLE, detail, retry_after_s=1))
    reply.headers["Connection"] = "close"
    return reply
