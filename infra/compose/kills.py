"""Kill each container in turn under a load of orders, start it again, and count.

    python3 -m infra.compose kills [NAME...] [--rate 10] [--down-s 3]

For each: customers come at a rate; `docker kill -s KILL`; a few seconds later `docker start`; customers come for a while
longer, then nobody new. Calm is when every customer is through and nothing is left to happen: no payment or refund under
way, no event undelivered, no webhook waiting, every receipt sent. Then the books are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from infra.compose.docker import (
    ROOT,
    DockerError,
    compose,
    compose_command,
    containers,
    docker,
    images,
)
from infra.compose.up import wait
from shared_lib.visible import say

# Where it hurts most comes first. mail is left out: what may have left is not sent again (decision 0010).
VICTIMS: Final = (
    ["postgres", "redis", "kafka", "relay", "trigger", "clock"]
    + [
        "create-order",
        "webhook",
        "notify",
        "reconcile",
        "renew",
        "refund",
        "subscription",
        "account",
        "playback",
    ]
    + ["sandbox", "auth", "nginx"]
)
# These are killed while they renew.
MONTHLY: Final = ("renew",)
RENEWING_S: Final = 0.5
BEFORE_S: Final = 6.0
AFTER_S: Final = 4.0
CALM_TIMEOUT_S: Final = 240.0
BAR_S: Final = 60.0
LOOKS_CALM: Final = 2  # in a row: a webhook may be on its way between one look and the next
# What may last longer than money and access: telling customers about them.
TELLING: Final = frozenset({"mails", "receipts", "records"})
_COLUMNS: Final = (
    *("killed", "orders in flight", "customers", "lost", "doubled"),
    *("seconds until money and access are final", "seconds to calm"),
)


class Customers:
    """The load, in a container beside the stack: one word in, one line of JSON out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise DockerError("The load has ended; look above for the reason.")
        told: dict[str, Any] = json.loads(answer)
        return told


@contextmanager
def load(rate: float) -> Iterator[Customers]:
    command = [*compose_command(), "run", "--rm", "-T", "demo"]
    command += ["python", "-m", "infra.compose.load", "--rate", str(rate)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=images() | os.environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Customers(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # it ends when nobody tells it anything any more
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def one(victim: str, rate: float, down_s: float) -> dict[str, Any]:
    """Kill one container and count. A load of its own: the next one starts from calm."""
    with load(rate) as customers:
        began = customers.ask("look")
        if began["unrest"]:
            raise DockerError(f"Not calm before {victim} was killed: {began['unrest']}")
        before = customers.ask("count")
        in_flight = _a_month_passes(customers) if victim in MONTHLY else _they_come(customers)
        id_ = containers()[victim]["Id"]
        docker("kill", "-s", "KILL", id_)
        time.sleep(down_s)
        docker("start", id_)
        up_at = time.monotonic()
        time.sleep(AFTER_S)
        customers.ask("stop")
        final_s, calm_s, last = _calm(customers, up_at)
        counted = customers.ask("count")
    # What was wrong before is not this kill's doing; what was doubled is.
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


def _they_come(customers: Customers) -> int:
    """How many are on the way."""
    customers.ask("start")
    time.sleep(BEFORE_S)
    return int(customers.ask("look")["on_the_way"])


def _a_month_passes(customers: Customers) -> int:
    """How many renewals are due at once. Nobody is on the way meanwhile: no checkout page lives for a month."""
    _they_come(customers)
    customers.ask("stop")
    _, calm_s, last = _calm(customers, time.monotonic())
    if calm_s > CALM_TIMEOUT_S:
        raise DockerError(f"Not calm before a month may pass: {last}")
    due = int(customers.ask("month")["due"])
    time.sleep(RENEWING_S)
    return due


def _calm(customers: Customers, up_at: float) -> tuple[float, float, dict[str, Any]]:
    """Seconds from the restart until money and access are final, until nothing more happens, and the last look."""
    final = calm = (
        0.0  # when the first look of an unbroken row of good ones began; 0: the last one was not good
    )
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


def kills(arguments: Sequence[str]) -> int:
    """0 when nothing was lost or doubled, and all was calm in time."""
    parser = argparse.ArgumentParser(prog="infra.compose kills", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(VICTIMS)}")
    parser.add_argument("--rate", type=float, default=10.0, help="customers per second")
    parser.add_argument("--down-s", type=float, default=3.0, help="how long it stays dead")
    options = parser.parse_args(arguments)
    running = containers()
    victims = options.names or [name for name in VICTIMS if name in running]
    if missing := [name for name in victims if name not in running]:
        raise DockerError(f"Not running: {', '.join(missing)}. First: make up_all")
    say("| " + " | ".join(_COLUMNS) + " |\n|" + " --- |" * len(_COLUMNS))
    failed = 0
    for victim in victims:
        found = one(victim, options.rate, options.down_s)
        say(_row(found))
        if not found["ok"] or found["doubtful_mails"]:
            say(json.dumps(found), sys.stderr)
        failed += not found["ok"]
        wait(CALM_TIMEOUT_S)
    say(
        f"\n{failed} of {len(victims)} are not as promised." if failed else "\nNothing lost, nothing doubled."
    )
    compose("ps")
    return 1 if failed else 0
