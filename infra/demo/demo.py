"""make demo: the whole story on the local stack, over real HTTP; at the end provider and ledger are compared."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import psycopg

from infra.demo.reckoning import reckon
from infra.demo.story import Story
from infra.demo.timeline import Timeline
from infra.demo.town import Town, open_town
from infra.local.console import Console
from infra.local.home import Home, Running
from infra.local.processes import StackError
from infra.local.stack import running_stack

JOIN_TIMEOUT_S: Final = 60.0


async def demo(home: Home, console: Console) -> int:
    """0 when the story went as promised and every cent of every run is accounted for, else 1."""
    try:
        async with (
            a_stack(home, console) as running,
            open_town(
                running, home.secrets().sandbox_api_key, event_secret=home.secrets().event_secret
            ) as town,
        ):
            return 0 if await play(town, console) else 1
    except (httpx.TransportError, psycopg.OperationalError) as error:
        raise StackError(f"The stack ended during the story: {error!r}. Run it again.") from error


async def play(town: Town, console: Console) -> bool:
    """Play one run of the story and compare the money; True when everything agrees."""
    began, run = time.monotonic(), secrets.token_hex(2)
    await leftovers(town, console)
    await Story(town, Timeline(console, await town.now()), run).play()
    await town.rest()
    await mails(town, console, run)
    balanced = await reckon(town, console, run)
    console.say(console.dim(f"  The story took {time.monotonic() - began:.0f} s."))
    return balanced


@asynccontextmanager
async def a_stack(home: Home, console: Console) -> AsyncIterator[Running]:
    """A new stack, or the one that already runs on this folder."""
    if home.hold():
        console.say("Starting Boxoffice ...")
        async with running_stack(home, console) as (running, took_s):
            console.say(f"Boxoffice is up at {running.gateway} after {took_s:.1f} s; logs are in {home.logs}")
            yield running
        return
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while (found := home.running()) is None:
        if time.monotonic() > deadline:
            raise StackError(f"Another process holds {home.folder}, but no stack answers there.")
        await asyncio.sleep(0.2)
    console.say(f"Playing on the stack that already runs at {found.gateway}")
    yield found


async def leftovers(town: Town, console: Console) -> None:
    """Let the work of a killed run finish first; none of it may be lost or done twice."""
    await town.clear_faults()
    await town.align_clocks()
    (before,) = await town.rows("SELECT count(*) AS orders FROM orders")
    if before["orders"]:
        console.say(
            f"{before['orders']} orders of earlier runs are here; their unfinished work is completed first."
        )
    await town.rest(nudge=True)


async def mails(town: Town, console: Console, run: str) -> None:
    """Print the mails that moto, in place of SES, accepted for the customers of this run."""
    sent = await asyncio.to_thread(_sent, town.running.mail)
    subjects: dict[str, Counter[str]] = {}
    for to, subject in sent:
        name, _, rest = to.partition("-")
        if rest.startswith(run):
            subjects.setdefault(name.capitalize(), Counter())[subject] += 1
    console.say("\n" + console.bold("Mails that were sent"))
    for name, counted in sorted(subjects.items()):
        for subject, count in counted.items():
            console.say(f"  {name:<5} {subject}" + (f"  x {count}" if count > 1 else ""))


def _sent(url: str) -> list[tuple[str, str]]:
    from infra.servers.moto import sent_mails  # noqa: PLC0415  # importing boto3 is slow

    return [(to, str(mail.message["subject"])) for mail in sent_mails(url) for to in mail.recipients]
