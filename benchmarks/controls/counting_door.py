"""A door that takes every event after DOOR_MS and knows when it heard the first and the last. GET tells and forgets."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Final

from starlette.types import Receive, Scope, Send

TAKES_S: Final = float(os.environ.get("DOOR_MS", "0")) / 1000

heard = [0, 0.0, 0.0]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = b""
    if scope["method"] == "POST":
        now = time.perf_counter()
        heard[0] += 1
        heard[1], heard[2] = heard[1] or now, now
        if TAKES_S:
            await asyncio.sleep(TAKES_S)
    else:
        body = json.dumps({"count": heard[0], "took_s": heard[2] - heard[1]}).encode()
        if scope["path"] == "/forget":
            heard[:] = [0, 0.0, 0.0]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
