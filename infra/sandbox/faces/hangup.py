"""Closing a connection without an answer, which ASGI has no message for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "sandbox.abort"


class Dropped(Exception):  # noqa: N818  # it is what happens to the connection
    """The caller sees its connection close, and gets no answer."""


class AbortableProtocol(HttpToolsProtocol):
    """The ordinary HTTP protocol, with a way for the application to close the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"abort": self.transport.abort}}


class _Silence(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        scope["extensions"][_EXTENSION]["abort"]()
        while (await receive())["type"] != "http.disconnect":
            pass


async def hang_up(request: Request) -> Response:
    """Needs AbortableProtocol."""
    await request.body()
    return _Silence()
