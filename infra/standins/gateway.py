"""The gateway of the local stack, in place of NGINX: one address that routes by shared_lib/contract/routes.py.

    python -m infra.standins.gateway --port 8100 --doors '{"create_order": "http://127.0.0.1:9001", ...}'

It never routes to /events and drops ce-* headers, so outside callers cannot deliver events. Bodies are limited to 64 KiB, and
every answer has an X-Request-Id. Long polls pass. It retries no call: only the caller knows whether a retry is safe.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote_from_bytes

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from infra.servers.ports import LOOPBACK
from shared_lib.contract.routes import AFTER_PAYMENT, door_of

BODY_BYTES_MAX: Final = 64 * 1024
URL_BYTES_MAX: Final = 4096
_QUERY: Final = "%&=/?:@!$'()*+,;[]~-._"  # characters of a query that need no escaping
# Longer than the longest poll (25 s) and the slowest provider call behind a door.
TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0)
METHODS: Final = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]
# A client library would resolve /v1/orders/../../events to /events; only plain segments pass.
_PLAIN: Final = re.compile(r"(/[A-Za-z0-9_-]+)+/?")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
    }
    | {"upgrade"}
)
_NOT_PASSED_ON: Final = _HOP_BY_HOP | {"host", "content-length", "x-forwarded-for", "x-request-id"}
_NOT_ANSWERED: Final = _HOP_BY_HOP | {"content-length", "content-encoding", "x-request-id", "date", "server"}


class Gateway:
    """Forwards calls to the doors."""

    def __init__(self, doors: Mapping[str, str]) -> None:
        self._doors = doors
        limits = httpx.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=30.0)
        self._http = httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def pass_on(self, request: Request) -> Response:
        """Forward one call to one door: 404 for paths that are not public, 413 for large bodies, 502-504 when the door fails."""
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        answer = await self._answer(request, request_id)
        answer.headers["x-request-id"] = request_id
        return answer

    async def _answer(self, request: Request, request_id: str) -> Response:
        raw_path = request.scope["raw_path"].decode("ascii", errors="replace").partition("?")[0]
        query = quote_from_bytes(request.scope["query_string"], safe=_QUERY)
        if len(raw_path) + len(query) > URL_BYTES_MAX:
            return _problem(414, "url_too_long", "URL too long")
        door = door_of(request.method, raw_path) if _PLAIN.fullmatch(raw_path) else None
        if door is None:
            return _problem(404, "not_found", "Not found")
        body = await _body(request)
        if body is None:
            return _problem(413, "body_too_large", "Body too large")
        url = self._doors[door] + raw_path + ("?" + query if query else "")
        headers = [*_passed_on(request), (b"x-request-id", request_id.encode())]
        try:
            reply = await self._http.request(request.method, url, content=body, headers=headers)
        except (httpx.LocalProtocolError, httpx.InvalidURL):
            return _problem(400, "request_malformed", "Malformed request")
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return _problem(503, "unavailable", f"The function {door} cannot be reached", retry_after_s=1)
        except httpx.TimeoutException:
            return _problem(504, "unavailable", f"The function {door} did not answer in time")
        except httpx.TransportError:
            # The outcome is unknown: the caller retries with the same key.
            return _problem(502, "unavailable", f"The function {door} closed the connection", retry_after_s=1)
        answer = Response(reply.content, reply.status_code)
        dropped = _NOT_ANSWERED if request.method != "HEAD" else _NOT_ANSWERED - {"content-length"}
        kept = [(name.lower(), value) for name, value in reply.headers.raw]
        kept = [(name, value) for name, value in kept if name.decode("latin-1") not in dropped]
        own = [] if any(name == b"content-length" for name, _ in kept) else answer.raw_headers
        answer.raw_headers = [*own, *kept]
        return answer


def _passed_on(request: Request) -> list[tuple[bytes, bytes]]:
    """As bytes: a header value may hold any of them, and a name may occur twice."""
    headers = [
        (name, value)
        for name, value in request.scope["headers"]
        if name.decode("latin-1") not in _NOT_PASSED_ON and not name.startswith(b"ce-")
    ]
    return [*headers, (b"x-forwarded-for", request.client.host.encode() if request.client else b"")]


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is longer than allowed."""
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced) > BODY_BYTES_MAX:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _problem(status: int, code: str, title: str, *, retry_after_s: int | None = None) -> Response:
    # As NGINX: a script of any origin may read why its call reached no door.
    headers = {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "Retry-After, X-Request-Id",
    }
    headers |= {"retry-after": str(retry_after_s)} if retry_after_s else {}
    body = {"type": f"urn:boxoffice:problem:{code}", "title": title, "status": status, "code": code}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


# As NGINX has them: shown to customers who paid by the link of a mail.
AFTER_PAYMENT_PAGES: Final = {
    "en": "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>Back from the payment page</title><h1>Back from the payment page</h1><p>If you have paid, a mail confirms it"
    " within a few minutes. If not, our newest mail has the link; where that one has ended, another mail follows.<p>You may close this page.</html>",
    "ru": "<!doctype html><html lang=ru><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>Вы вернулись со страницы оплаты</title><h1>Вы вернулись со страницы оплаты</h1><p>Если оплата прошла,"  # noqa: RUF001  # Russian
    " подтверждение придёт по почте в течение нескольких минут. Если нет, ссылка есть в нашем последнем письме; если она уже не действует, придёт новое."
    "<p>Эту страницу можно закрыть.</html>",
}


async def _after_payment(request: Request) -> Response:
    wanted = request.headers.get("accept-language", "").strip().lower()
    return HTMLResponse(AFTER_PAYMENT_PAGES["ru" if wanted.startswith("ru") else "en"])


async def _thanks(request: Request) -> Response:
    """The page that the provider returns the customer to, in place of the cinema's own."""
    order = html.escape(request.query_params.get("order_id", ""))
    paid = request.query_params.get("status") != "canceled"
    headline = "Back at the cinema" if paid else "Back at the cinema, without paying"
    what = (
        "Boxoffice learns from the provider's signed webhook that it is paid, not from this page; that takes a second."
        if paid
        else "The order stays open for a day, and its checkout_url works until then."
    )
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Back at the cinema</title>"
        "<body style='font:18px/1.5 system-ui;max-width:36rem;margin:12vh auto;padding:0 1rem'>"
        f"<h1>{headline}</h1><p>Order <code>{order}</code>. {what}</p>"
        "<p>In your terminal, this shows what happened and what may be watched:</p>"
        "<pre style='background:#f3f2ee;padding:1rem;overflow:auto;font-size:15px'>"
        f"make cli ARGS=&quot;explain {order}&quot;</pre></body></html>"
    )


async def _account(_: Request) -> Response:
    """Where mails lead who wants to manage a subscription, in place of the cinema's own."""
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Account</title><body style='font:18px/1.5 system-ui;max-width:34rem;margin:12vh auto;padding:0 1rem'>"
        "<h1>Account</h1><p>The cinema's own account page stands at BOXOFFICE_CINEMA_ACCOUNT_URL; this page is in its place."
        "</body></html>"
    )


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def build(doors: Mapping[str, str]) -> Starlette:
    gateway = Gateway(doors)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    return Starlette(
        routes=[
            Route("/livez", _alive),
            Route("/thanks", _thanks),
            Route("/account", _account),
            Route(AFTER_PAYMENT, _after_payment),
            Route("/{path:path}", gateway.pass_on, methods=METHODS),
        ],
        lifespan=lifespan,
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="infra.standins.gateway")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--doors", type=json.loads, required=True, help="JSON: function name -> address")
    options = parser.parse_args(arguments)
    uvicorn.run(
        build(options.doors),
        host=LOOPBACK,
        port=options.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # no proxy stands in front of it
        timeout_keep_alive=95,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
