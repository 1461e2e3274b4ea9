"""OpenFaaS's gateway and provider as a function sees them: /function/NAME is taken off, headers are added, nothing is sent twice.

After gateway/handlers/{callid_middleware,forwarding_proxy}.go and gateway/pkg/middleware/resolver.go of openfaas/faas.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.kit.serving import serving
from tests.kit.waiting import PATIENCE_S

_FUNCTION: Final = re.compile(r"^/?function/([^/?]+)([^?]*)")
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
    }
    | {"transfer-encoding", "upgrade"}
)
METHODS: Final = ["GET", "POST", "PATCH", "PUT", "DELETE"]


@asynccontextmanager
async def faas_gateway(functions: Mapping[str, str]) -> AsyncIterator[str]:
    """The gateway's address; `functions` are names and addresses."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:

        async def passed_on(request: Request) -> Response:
            found = _FUNCTION.match(request.url.path)
            if found is None or found[1] not in functions:
                return Response("error finding function", 404)
            headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
            headers.setdefault("x-call-id", str(uuid.uuid4()))
            headers["x-start-time"] = str(time.time_ns())
            headers.setdefault("x-forwarded-host", headers.pop("host"))
            headers.setdefault("x-forwarded-for", f"{request.client.host}:1" if request.client else "")
            url = functions[found[1]] + found[2] + (f"?{request.url.query}" if request.url.query else "")
            try:
                answer = await http.request(
                    request.method, url, content=await request.body(), headers=headers
                )
            except httpx.HTTPError:
                return Response(status_code=502)
            kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
            return Response(answer.content, answer.status_code, kept)

        app = Starlette(routes=[Route("/{path:path}", passed_on, methods=METHODS)])
        async with serving(app) as url:
            yield url
