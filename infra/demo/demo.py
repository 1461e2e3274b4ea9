"""make demo on the local stack: a new one, or the one that already runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import psycopg

from infra.demo.play import play
from infra.demo.town import open_town
from infra.local.console import Console
from infra.local.faces import paid_through
from infra.local.home import Home, Running, typed
from infra.local.processes import StackError
from infra.local.stack import running_stack

JOIN_TIMEOUT_S: Final = 60.0


async def demo(home: Home, console: Console, provider: str) -> int:
    """`provider` is paid where this starts the stack. 0 when the story went as expected and the money of all runs agrees, else 1."""
    try:
        async with (
            a_stack(home, console, provider) as running,
            open_town(
                running, home.secrets().sandbox_api_key, event_secret=home.secrets().event_secret
            ) as town,
        ):
            agrees = await play(town, console)
    except (httpx.TransportError, psycopg.OperationalError) as error:
        raise StackError(f"The stack ended during the story: {error!r}. Run it again.") from error
    for line in (
        next_steps()
        if agrees
        else [f"Look into {typed(home.logs)}, and run it again: work that began is completed first."]
    ):
        console.say(line)
    return 0 if agrees else 1


def next_steps() -> list[str]:
    """What to do after the story, on a few lines."""
    return [
        "",
        "What next:",
        "  make up       the same Boxoffice to use by hand, with a first order to pay",
        "  make mails    read what was mailed, while it runs",
        "  make cli      all about one order, while it runs: ARGS='explain ord_...'",
        "  make reset    forget this story: no orders, and today's date",
        "How it works: docs/architecture.md    Its interface: docs/openapi.json",
    ]


@asynccontextmanager
async def a_stack(home: Home, console: Console, provider: str) -> AsyncIterator[Running]:
    """A new stack, or the one that already runs on this folder."""
    if home.hold():
        async with running_stack(home, console, own=paid_through(provider)) as (running, took_s):
            console.say(
                f"Boxoffice is up at {running.gateway} after {took_s:.1f} s; logs are in {typed(home.logs)}"
            )
            yield running
        return
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while (found := home.running()) is None:
        if time.monotonic() > deadline:
            raise StackError(f"Another process holds {home.folder}, but no stack answers there.")
        await asyncio.sleep(0.2)
    console.say(f"Playing on the stack that already runs at {found.gateway}")
    yield found
