"""One run of the story on any stack: finish old work, play, list the mails, compare the money."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter

from infra.demo.reckoning import reckon
from infra.demo.story import Story
from infra.demo.timeline import Timeline
from infra.demo.town import Town
from infra.local.console import Console
from infra.local.progress import Progress


async def play(town: Town, console: Console) -> bool:
    """Play one run of the story and compare the money; True when everything agrees."""
    began, run = time.monotonic(), secrets.token_hex(2)
    with Progress(console, "  playing"):
        await leftovers(town, console)
        await Story(town, Timeline(console, await town.now()), run).play()
        await town.rest()
    await mails(town, console, run)
    balanced = await reckon(town, console, run)
    console.say(console.dim(f"  The story took {time.monotonic() - began:.0f} s."))
    return balanced


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
