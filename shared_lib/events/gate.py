"""The gate in front of a function that takes events: it passes events of verified senders and of limited size.

One gate for all doors, in front of the framework and of every parser.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared_lib.bodies import body_within
from shared_lib.contract.events import OURS
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.domain.errors import Code, Refusal, Transient
from shared_lib.events.proof import event_guard
from shared_lib.replies import RefusedError, problem, refuse
from shared_lib.runtime import Runtime, runtime
from shared_lib.standard_webhook import NotAuthentic

# Our own events are small, a few KB at most. Those of other services may be larger.
OWN_BYTES_MAX: Final = 64 * 1024
BYTES_MAX: Final = 1024 * 1024
RETRY_AFTER_S: Final = 5
PASSED: Final = "boxoffice.passed"
"""The key of the ASGI scope that only the gate sets. A request without it has not been checked."""

log = structlog.get_logger("boxoffice")


class EventGate:
    """With `everything`, every request must be an event; otherwise only requests to /events are checked."""

    def __init__(self, function: ASGIApp, name: str, *, everything: bool) -> None:
        self._function, self._name, self._everything = function, name, everything

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PASSED] = True
        if scope["type"] != "http" or not (self._everything or scope["path"] == EVENTS_PATH):
            await self._function(scope, receive, send)
            return
        try:
            body = await admitted(runtime(), scope, receive)
        except RefusedError as refused:
            log.warning(
                "event_refused", door=self._name, code=refused.refusal.code, why=refused.refusal.detail
            )
            # The server discards what is left of the body. Were the connection closed instead, unread bytes would reset it, and
            # a sender that is still writing would lose the answer.
            await problem(refused.refusal).response()(scope, receive, send)
        except ClientDisconnect:
            return
        else:
            await self._function(scope, _again(body, receive), send)


async def admitted(rt: Runtime, scope: Scope, receive: Receive) -> bytes:
    """The body of a verified event. Raises RefusedError or ClientDisconnect."""
    guard, raw = event_guard(rt), scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    bytes_max = OWN_BYTES_MAX if headers.get("ce-type", "").startswith(OURS) else BYTES_MAX
    try:
        sender = await guard.sender(headers)
        body = await body_within(bytes_max, receive, headers.get("content-length"))
        if sender is None:
            guard.verify(headers, raw, body)
    except NotAuthentic as why:
        raise refuse(Code.EVENT_UNPROVEN, f"The sender of the event cannot be verified: {why}.") from None
    except Transient as error:
        raise RefusedError(Refusal(Code.UNAVAILABLE, str(error), RETRY_AFTER_S)) from None
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that repeats the body, which was read already, and continues with what follows it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return pending.pop() if pending else await receive()

    return received


def as_problem(refused: RefusedError) -> Response:
    """A refusal by a consumer as problem+json."""
    reply = problem(refused.refusal, **refused.members)
    reply.headers |= refused.headers
    return reply.response()
