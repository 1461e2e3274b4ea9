"""A million renewals by one renew door, as a clock wakes it: what the door and PostgreSQL hold in memory from the first to the last.

    python -m benchmarks.million                      # an hour on a busy machine; 12 GB of disk
    python -m benchmarks.million --renewals 100000 --minutes 5

The door is `FUNCTION=renew uvicorn`, its provider another process, its ticks those of `shared_lib.workers.clock`, one right after the other.
Between two ticks the outbox is emptied, as a relay would. It is no part of `make bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from subprocess import TimeoutExpired
from typing import Final, NamedTuple

from benchmarks.doors import EVENT_SECRET
from benchmarks.figures import (
    cpu_s,
    family,
    machine,
    number,
    peak_mib,
    proportional_mib,
    resident_mib,
    status_mib,
)
from benchmarks.many import NAME as MANY
from benchmarks.meter import parent
from benchmarks.renewals import Planned, check_all, make_due, seed
from benchmarks.stage import Stage, open_stage
from infra.servers.ports import free_port, wait_for_http
from shared_lib.contract.events import Tick

LOOK_EVERY_S: Final = 5.0
TENTHS: Final = 10
# Counted by PostgreSQL anyway, a second late at most; counting rows would read all of them each time.
_RENEWED: Final = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'ledger_entries'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """At one moment. Memory in MiB: of PostgreSQL, what its processes hold alone, and its shared buffers as far as they were touched."""

    seconds: float
    renewed: int
    door: float
    backends: float
    buffers: float


class Door(NamedTuple):
    """The renew door that works."""

    pid: int
    url: str


def measure(stage: Stage, renewals: int, minutes: float, say: Callable[[str], None]) -> str:
    """Renew them all, or as many as the minutes allow. Returns a report in Markdown. Raises RuntimeError when the books do not agree."""
    plan = Planned(name="all", count=renewals, due_at=stage.value("SELECT now() + interval '1 hour'"))
    began = time.monotonic()
    seed(stage, [plan], MANY)
    say(f"seeded {renewals:,} subscriptions in {time.monotonic() - began:.0f} s")
    door = start_door(stage)
    make_due(stage, plan.due_at)
    looks = list(watched(stage, door, renewals, minutes, say))
    books = check_all(stage) if looks[-1].renewed == renewals else "The time was up before all were renewed."
    return report(looks, cpu_s(door.pid), peak_mib(door.pid), books)


def start_door(stage: Stage) -> Door:
    port = free_port()
    process = stage.serve(
        "renew",
        "shared_lib.web.serve:app",
        port=port,
        function="renew",
        BOXOFFICE_PROVIDERS=MANY,
        BOXOFFICE_DEFAULT_PROVIDER=MANY,
        BOXOFFICE_EVENT_SECRETS=EVENT_SECRET,
        PROVIDER_URL=stage.start_provider(),
    )
    wait_for_http(f"http://127.0.0.1:{port}/livez")
    return Door(process.pid, f"http://127.0.0.1:{port}")


def watched(
    stage: Stage, door: Door, renewals: int, minutes: float, say: Callable[[str], None]
) -> Iterator[Look]:
    """A look every few seconds, from before the first tick until nothing is due or the time is up."""
    began, ticks, looked = time.monotonic(), 0, look(stage, door, 0.0)
    yield looked
    while looked.renewed < renewals and looked.seconds < 60 * minutes:
        with stage.db() as db:
            db.execute("TRUNCATE outbox")
        ticks += 1
        tick = stage.spawn(
            "clock", "-m", "shared_lib.workers.clock", "renewal",
            env={
                "BOXOFFICE_EVENT_SECRETS": EVENT_SECRET,
                "BOXOFFICE_EVENT_ROUTES": json.dumps({Tick.RENEWAL: door.url}),
            },
        )  # fmt: skip
        while tick.poll() is None:
            with contextlib.suppress(TimeoutExpired):
                tick.wait(timeout=LOOK_EVERY_S)
            looked = look(stage, door, time.monotonic() - began)
            yield looked
        if tick.returncode:
            raise RuntimeError(
                f"the door took no tick:\n{stage.log_tail('renew')}\n{stage.log_tail('clock')}"
            )
        say(f"tick {ticks}: {looked}")


def look(stage: Stage, door: Door, seconds: float) -> Look:
    with stage.db() as db:
        own = db.info.backend_pid
        processes = [pid for pid in family(parent(own)) if pid != own]
    return Look(
        seconds=seconds,
        renewed=stage.value(_RENEWED),
        door=resident_mib(door.pid),
        backends=sum(proportional_mib(pid, "Pss_Anon") for pid in processes),
        buffers=max(status_mib(pid, "RssShmem") for pid in processes),
    )


def report(looks: Sequence[Look], cpu_s: float, peak: float, books: str) -> str:
    """The look at the start, and the first one after each tenth of the work."""
    last = looks[-1]
    lines = [
        "| renewed | after, s | the door, MiB | PostgreSQL's processes alone, MiB | its shared buffers, MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n in range(TENTHS + 1):
        one = next(found for found in looks if found.renewed >= last.renewed * n // TENTHS)
        cells = (number(one.door), number(one.backends), number(one.buffers))
        lines.append(f"| {one.renewed:,} | {one.seconds:,.0f} | {' | '.join(cells)} |")
    lines += [
        "",
        f"- {last.renewed / last.seconds:,.0f} a second; {1e6 * cpu_s / last.renewed:,.0f} us of processor time of the door each.",
        f"- At most: the door {number(peak)} MiB, PostgreSQL's processes {number(max(one.backends for one in looks))} MiB.",
        f"- {books}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.million",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--renewals", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=120.0, help="after so long no further tick is sent")
    options = parser.parse_args(argv)
    print(machine(), file=sys.stderr)
    with open_stage() as stage:
        print(
            measure(
                stage,
                options.renewals,
                options.minutes,
                lambda line: print(line, file=sys.stderr, flush=True),
            )
        )
    print(f"\nLoad average afterwards: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
