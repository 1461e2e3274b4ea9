"""A header that proves who sends a request, kept out of sight."""

from __future__ import annotations

from collections.abc import Generator

import httpx


class HeaderAuth(httpx.Auth):
    """Adds one header to each request, after our code has given the request away: no stack frame of ours that waits contains
    it, so no traceback with local variables shows it. httpx.AsyncClient and AiohttpTransport both take it.
    """

    def __init__(self, name: str, value: str) -> None:
        self.__header = (name, value)

    def header(self) -> tuple[str, str]:
        return self.__header

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update([self.__header])
        yield request

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"
