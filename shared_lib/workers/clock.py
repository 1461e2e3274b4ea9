"""The clock: ticks for the renewal and reconcile doors. A lost tick does no harm: the next one finds everything that is due.

python -m shared_lib.workers.clock             # until it is stopped
python -m shared_lib.workers.clock renewal     # one tick, for a CronJob; status 1 when the door did not take it
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import httpx
import structlog

from shared_lib import log as logs
from shared_lib.billing.facts import instant
from shared_lib.contract.events import OUR_TICKS, Tick
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.events.incoming import binary
from shared_lib.events.proof import event_signer
from shared_lib.ids import new_id
from shared_lib.owned import beside
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings, settings_of
from shared_lib.workers.signals import until_stopped

TICKS: Final = tuple(Tick)
TICK_TIMEOUT: Final = httpx.Timeout(90.0, connect=2.0)

log = structlog.get_logger("boxoffice")


async def tick(rt: Runtime, kind: str, *, subject: str = "clock") -> bool:
    """Send one tick to its door. False when the door did not take it."""
    now = rt.now()
    headers, body = binary(
        event_id=new_id("evt"),
        kind=kind,
        subject=subject,
        partition_key=kind,
        time_=instant(now) or "",
        data={},
    )
    try:
        url = rt.settings.event_routes[kind] + EVENTS_PATH
        signed = event_signer(rt).signed(headers, body)
        answer = await rt.http.post(url, content=body, headers=signed, timeout=TICK_TIMEOUT)
    except httpx.HTTPError as error:
        log.warning("tick_lost", tick=kind, error=type(error).__name__)
        return False
    return answer.is_success


async def run(rt: Runtime, stop: asyncio.Event) -> None:
    """Tick until `stop` is set. A slow door delays its own ticks only: the next one starts after it has answered."""
    await asyncio.gather(*(_every(rt, kind, period_s(rt.settings, kind), stop) for kind in TICKS))


def period_s(own: Settings, kind: str) -> float:
    return own.renewal_tick_s if kind == Tick.RENEWAL else own.reconcile_tick_s


async def _every(rt: Runtime, kind: str, seconds: float, stop: asyncio.Event) -> None:
    async with beside(stop.wait()) as (stopped,):
        while not stop.is_set():
            async with beside(tick(rt, kind)) as (ticking,):
                await asyncio.wait([ticking, stopped], return_when=asyncio.FIRST_COMPLETED)
            if ticking.cancelled():  # the door finishes the tick; a stopping clock does not wait for it
                return
            ticking.result()
            await asyncio.wait([stopped], timeout=seconds)


async def main(only: str | None = None) -> bool:
    """Tick until the process is to stop; or send `only` one tick, and say whether its door took it."""
    logs.configure(function="clock")
    rt = await Runtime.open(settings_of("clock"))
    try:
        event_signer(rt)  # without a secret the process ends here, instead of failing at each tick
        if only:
            return await tick(rt, f"{OUR_TICKS}{only}")
        await run(rt, until_stopped())
        return True
    finally:
        await rt.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m shared_lib.workers.clock", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("only", nargs="?", choices=[kind.removeprefix(OUR_TICKS) for kind in TICKS])
    sys.exit(not asyncio.run(main(parser.parse_args().only)))
