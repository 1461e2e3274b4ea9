"""Kill each part in turn under a load of orders, wait for its restart, and count; on containers or on pods.

Each round: customers arrive at a constant rate; the part is killed and restarts; customers arrive for a few more seconds, then
no new ones. The stack is calm when every customer is done and no work is left: no payment or refund under way, no event
undelivered, no webhook waiting, every receipt sent. Then the books are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

from shared_lib.visible import say

# The most critical parts first. mail is left out: a mail that may have been sent is not sent again (decision 0010).
STORES_AND_WORKERS: Final = ("postgres", "redis", "kafka", "relay", "trigger", "clock")
DOORS: Final = (
    *("create-order", "webhook", "notify", "reconcile", "renew", "refund", "subscription", "account"),
    "playback",
)
# These are killed while they renew.
MONTHLY: Final = ("renew",)
RENEWING_S: Final = 0.5
BEFORE_S: Final = 6.0
AFTER_S: Final = 4.0
CALM_TIMEOUT_S: Final = 240.0
BAR_S: Final = 60.0
LOOKS_CALM: Final = 2  # in a row: a webhook may be under way between two looks
# Notifications, which may take longer than money and access.
TELLING: Final = frozenset({"mails", "receipts", "records"})
_COLUMNS: Final = (
    *("killed", "orders in flight", "customers", "lost", "doubled"),
    *("seconds until money and access are final", "seconds to calm"),
)


class DrillError(RuntimeError):
    """The drill cannot continue; the text is for people."""


class Customers:
    """The load process beside the stack: one word in, one line of JSON out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise DrillError("The load process has ended; the reason is above.")
        found: dict[str, Any] = json.loads(answer)
        return found


class Ground(Protocol):
    """Where the parts run, and how one of them is killed there."""

    name: str
    first: str  # the command that starts it
    victims: Sequence[str]

    def running(self) -> Sequence[str]:
        """The parts that could be killed now."""
        ...

    def load(self, rate: float) -> AbstractContextManager[Customers]:
        """infra.drill.load beside the stack, `rate` customers per second."""
        ...

    def kill(self, victim: str, down_s: float) -> None:
        """SIGKILL it. Returns when its restart has begun: after `down_s`, where the drill decides that."""
        ...

    def wait(self) -> None:
        """Return when every part is healthy."""
        ...

    def show(self) -> None:
        """Print what runs, at the end."""
        ...


@contextmanager
def talking_to(process: subprocess.Popen[str]) -> Iterator[Customers]:
    """Talk to the load process; it ends when its standard input closes."""
    try:
        yield Customers(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def one(ground: Ground, victim: str, rate: float, down_s: float) -> dict[str, Any]:
    """Kill one part and count. Each round has its own load and starts when the stack is calm."""
    with ground.load(rate) as customers:
        _calm_first(customers, f"{victim} may be killed")
        before = customers.ask("count")
        in_flight = _a_month_passes(customers) if victim in MONTHLY else _start_load(customers)
        ground.kill(victim, down_s)
        up_at = time.monotonic()
        time.sleep(AFTER_S)
        customers.ask("stop")
        final_s, calm_s, last = _calm(customers, up_at)
        counted = customers.ask("count")
    # Subtract what earlier rounds left, so that this round reports only its own.
    found = {
        "killed": victim,
        "in_flight": in_flight,
        "final_s": final_s,
        "calm_s": calm_s,
        "unrest": last,
        **counted,
    }
    found["doubled_count"] -= before["doubled_count"]
    found["doubtful_mails"] -= before["doubtful_mails"]
    found["ok"] = calm_s <= BAR_S and not (
        found["lost_count"] or found["doubled_count"] or found["faults_count"]
    )
    return found


def _start_load(customers: Customers) -> int:
    """Start the load. Returns how many customers are under way after BEFORE_S."""
    customers.ask("start")
    time.sleep(BEFORE_S)
    return int(customers.ask("look")["on_the_way"])


def _a_month_passes(customers: Customers) -> int:
    """How many renewals are due at once. No customer is under way meanwhile: checkout pages expire within a month."""
    _start_load(customers)
    customers.ask("stop")
    _calm_first(customers, "a month may pass")
    due = int(customers.ask("month")["due"])
    time.sleep(RENEWING_S)
    return due


def _calm_first(customers: Customers, then: str) -> None:
    """Wait until the stack is calm: mails about auto-renewal are sent a minute after a customer left, so it may not be."""
    _, calm_s, last = _calm(customers, time.monotonic())
    if calm_s > CALM_TIMEOUT_S:
        raise DrillError(f"Not calm before {then}: {last}")


def _calm(customers: Customers, up_at: float) -> tuple[float, float, dict[str, Any]]:
    """Seconds from the restart until money and access are final, until nothing more happens, and the last look."""
    final = calm = 0.0  # when the current row of good looks began; 0: the last look was not good
    looks = 0
    while True:
        now = time.monotonic() - up_at
        seen = customers.ask("look")
        unrest = None if seen["unrest"] is None else set(seen["unrest"])
        settled = unrest is not None and not unrest - TELLING and not seen["on_the_way"]
        final = (final or now) if settled else 0.0
        calm = (calm or now) if settled and not unrest else 0.0
        looks = looks + 1 if calm else 0
        if looks >= LOOKS_CALM or now > CALM_TIMEOUT_S:
            return final or now, calm or now, seen
        time.sleep(0.5)


def _row(found: dict[str, Any]) -> str:
    cells = [
        found["killed"],
        found["in_flight"],
        found["customers"],
        found["lost_count"],
        found["doubled_count"],
        f"{found['final_s']:.0f}",
        f"{found['calm_s']:.0f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def drill(ground: Ground, arguments: Sequence[str]) -> int:
    """0 when nothing was lost or doubled, and every round became calm in time."""
    parser = argparse.ArgumentParser(prog=ground.name, description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: {', '.join(ground.victims)}")
    parser.add_argument("--rate", type=float, default=10.0, help="customers per second")
    parser.add_argument("--down-s", type=float, default=3.0, help="how long a container stays down")
    options = parser.parse_args(arguments)
    running = ground.running()
    victims = options.names or [name for name in ground.victims if name in running]
    if missing := [name for name in victims if name not in running]:
        raise DrillError(f"Not running: {', '.join(missing)}. First: {ground.first}")
    say("| " + " | ".join(_COLUMNS) + " |\n|" + " --- |" * len(_COLUMNS))
    failed = 0
    for victim in victims:
        found = one(ground, victim, options.rate, options.down_s)
        say(_row(found))
        if not found["ok"] or found["doubtful_mails"]:
            say(json.dumps(found), sys.stderr)
        failed += not found["ok"]
        ground.wait()
    say(f"\n{failed} of {len(victims)} rounds failed." if failed else "\nNothing lost, nothing doubled.")
    ground.show()
    return 1 if failed else 0
