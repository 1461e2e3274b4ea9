from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from infra.sandbox.launch import new_webhook_secret
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings

OpenRuntime = Callable[..., Awaitable[Runtime]]


def own_settings(database_url: str, **more: Any) -> Settings:
    defaults: dict[str, Any] = {
        "sandbox_url": "http://127.0.0.1:9",
        "sandbox_webhook_secrets": new_webhook_secret(),
        "event_secrets": new_webhook_secret(),
    }
    return Settings(database_url=database_url, **(defaults | more))


@pytest.fixture
async def open_runtime(database_url: str) -> AsyncIterator[OpenRuntime]:
    """A maker of runtimes, each as a process of its own would have it."""
    async with AsyncExitStack() as stack:

        async def make(url: str = database_url, **more: Any) -> Runtime:
            rt = await Runtime.open(own_settings(url, **more))
            stack.push_async_callback(rt.aclose)
            return rt

        yield make


@pytest.fixture
async def rt(open_runtime: OpenRuntime) -> Runtime:
    return await open_runtime()


@asynccontextmanager
async def serving(app: ASGIApp, port: int) -> AsyncIterator[str]:
    """A real HTTP server around an app."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_level="critical")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn tells it no other way
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
