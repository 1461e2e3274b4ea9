"""`boxoffice clock show|advance` and `boxoffice tick`: the test clock, and ticks by hand."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta
from typing import Final

import httpx

from shared_lib.cli.terminal import (
    CannotError,
    Output,
    connected,
    environment,
    moment,
    note,
    repair_by,
    waiting_for,
)
from shared_lib.contract.events import OUR_TICKS
from shared_lib.runtime import Runtime
from shared_lib.settings import settings
from shared_lib.workers.clock import tick as send_tick

CLOCK: Final = "test_clock"
"""What `boxoffice repairs` calls the clock."""
_SECONDS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
ADVANCE_MAX: Final = timedelta(days=36_500)  # far beyond it, instants have years that Python does not read


def show() -> Output:
    with connected() as db:
        now, ahead = db.execute(
            "SELECT boxoffice_now(), coalesce((SELECT ahead FROM test_clock), interval '0')"
        ).fetchall()[0]
    says = (
        f"{moment(now)} UTC, {ahead} ahead of the real time" if ahead else f"{moment(now)} UTC, the real time"
    )
    return Output([says], {"now": now, "ahead_s": ahead.total_seconds()})


def advance(by: str, *, who: str | None = None, because: str | None = None) -> Output:
    """Advance our clock, and the sandbox's with it. Refused in production: customers would be billed for the future."""
    if environment() == "production":
        raise CannotError("There is no test clock in production: customers would be billed for the future.")
    delta = duration(by)
    with connected() as db:  # rolled back when the sandbox does not follow
        db.execute(
            "INSERT INTO test_clock (one, ahead) VALUES (true, %s)"
            " ON CONFLICT (one) DO UPDATE SET ahead = test_clock.ahead + EXCLUDED.ahead",
            [delta],
        )
        note(db, repair_by(who, f"advance {by}", because), CLOCK)
        if url := os.environ.get("BOXOFFICE_SANDBOX_URL"):
            try:
                httpx.post(
                    f"{url}/control/clock", json={"advance_s": delta.total_seconds()}
                ).raise_for_status()
            except httpx.HTTPError as error:
                raise CannotError(f"The sandbox did not move its clock: {type(error).__name__}") from None
    return show()


def duration(text: str) -> timedelta:
    """Parse 31d, 2h30m or 90s, at most ADVANCE_MAX. Raises CannotError."""
    if not re.fullmatch(r"(\d{1,6}[dhms])+", text):
        raise CannotError(f"{text!r} is not a duration: 31d, 2h30m or 90s")
    total_s = sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d{1,6})([dhms])", text))
    if total_s > ADVANCE_MAX.total_seconds():
        raise CannotError(f"{text!r} is too long: at most {ADVANCE_MAX.days}d at once")
    return timedelta(seconds=total_s)


def tick(what: str, *, by: str | None = None, because: str | None = None) -> Output:
    """Send one tick now, as the clock worker does."""
    kind = f"{OUR_TICKS}{what}"
    with connected() as db:
        note(db, repair_by(by, "tick", because), kind)
    with waiting_for("the door"):
        taken = asyncio.run(_tick(kind))
    if not taken:
        raise CannotError(
            f"No door took {kind}: does the door run and answer, and does BOXOFFICE_EVENT_ROUTES name it?"
        )
    return Output([f"{kind} was taken."], {"tick": kind})


async def _tick(kind: str) -> bool:
    rt = await Runtime.open(settings())
    try:
        return kind in rt.settings.event_routes and await send_tick(rt, kind)
    finally:
        await rt.aclose()
