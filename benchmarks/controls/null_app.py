"""The ceiling: reads the request, does nothing, answers. What uvicorn and the load generator cost by themselves."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

_BODY = b'{"id":"ord_0","status":"pending"}' + b" " * 600  # about as long as an order
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    status = 201 if scope["method"] == "POST" else 200
    await send({"type": "http.response.start", "status": status, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
