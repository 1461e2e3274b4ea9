"""An ASGI application behind a real HTTP server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0, *, host: str = LOOPBACK, **options: Any) -> AsyncIterator[str]:
    """Serve `app` until the block ends; yields the server's base address. Port 0 is a free one; `options` are uvicorn's."""
    config = uvicorn.Config(
        app, host=host, port=port, **{"lifespan": "off", "log_level": "critical", "ws": "none"} | options
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not (server.started or task.done()):  # noqa: ASYNC110  # uvicorn has no event to wait for
        await asyncio.sleep(0.01)
    if task.done():
        await task
        raise RuntimeError("the server ended before it listened")
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
