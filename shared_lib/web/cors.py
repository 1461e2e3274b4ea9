"""Calls from the cinema's frontend when it lives on another origin than the gateway (CORS).

Allowed are the origins that a `return_url` may have (BOXOFFICE_RETURN_URL_ORIGINS): both are pages of the frontend. Tokens travel in
a header and no cookie is read, so an allowed origin can do nothing that its customer's token does not permit.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared_lib.runtime import runtime
from shared_lib.web.headers import first_header

METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Prefer",
    "Traceparent",
    "Tracestate",
    "X-Request-Id",
)
"""Headers a browser may send, beside those that every page may send. infra/nginx/nginx.conf passes them on."""

EXPOSED_HEADERS: Final = ("Idempotent-Replayed", "Location", "Retry-After", "X-Request-Id")
"""Headers of a reply that a script may read, beside those that every script may read."""

PREFLIGHT_VALID_S: Final = 600


class CrossOrigin:
    """Answers preflights of allowed origins, and adds CORS headers to what they are answered.

    Requests without an Origin, or with one that is not allowed, pass unchanged: the browser then keeps the reply from the script.
    """

    def __init__(self, door: ASGIApp) -> None:
        self._door = door
        self._sharing = lru_cache(maxsize=1)(self._shared_with)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = first_header(scope, b"origin") if scope["type"] == "http" else None
        allowed = runtime().settings.return_url_origins if origin else ()
        door = self._sharing(allowed) if origin in allowed else self._door
        await door(scope, receive, send)

    def _shared_with(self, origins: Collection[str]) -> ASGIApp:
        return _Sharing(
            self._door,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_VALID_S,
        )


class _Sharing(CORSMiddleware):
    """Answers every preflight with what is allowed. The browser compares, and names the header or method that is not."""

    def preflight_response(self, request_headers: Headers) -> Response:
        headers = {**self.preflight_headers, "Access-Control-Allow-Origin": request_headers["origin"]}
        return Response(status_code=204, headers=headers)
