"""A runtime without a cinema: settings, database and clients, as one process of Boxoffice has them. A plugin of tests/conftest.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # tests that need no runtime do not pay for its imports
    from shared_lib.runtime import Runtime
    from shared_lib.settings import Settings

OpenRuntime = Callable[..., Awaitable["Runtime"]]


def own_settings(database_url: str, **more: Any) -> Settings:
    """Settings with secrets of this test's own and a provider that cannot be reached. `more` replaces any of them."""
    from infra.sandbox.launch import new_webhook_secret  # noqa: PLC0415
    from shared_lib.settings import Settings  # noqa: PLC0415

    defaults: dict[str, Any] = {
        "sandbox_url": "http://127.0.0.1:9",
        "sandbox_webhook_secrets": new_webhook_secret(),
        "event_secrets": new_webhook_secret(),
    }
    return Settings(database_url=database_url, **(defaults | more))


@pytest.fixture
async def open_runtime(database_url: str) -> AsyncIterator[OpenRuntime]:
    """A maker of runtimes, each as a process of its own would have it. They are closed after the test."""
    from shared_lib.runtime import Runtime  # noqa: PLC0415

    async with AsyncExitStack() as stack:

        async def make(url: str = database_url, **more: Any) -> Runtime:
            rt = await Runtime.open(own_settings(url, **more))
            stack.push_async_callback(rt.aclose)
            return rt

        yield make


@pytest.fixture
async def rt(open_runtime: OpenRuntime) -> Runtime:
    """A runtime on this test's database."""
    return await open_runtime()
