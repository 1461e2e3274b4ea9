"""Renewals: everything that is due, charged by an instant provider, and the books checked afterwards.

The test clock makes each leg's own subscriptions due, so that every contender does the same: renew whatever is due.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Final

from benchmarks.figures import Contender, Leg, Report, rotated
from benchmarks.instant import NAME as INSTANT
from benchmarks.stage import ROOT, Stage

ONE_STATEMENT = Path(__file__).parent / "controls" / "renewals.sql"
APART: Final = timedelta(hours=1)  # between the due times of two legs
PRICE_MINOR: Final = 1299


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 5
    renewals: int = 1_000_000
    orm_sample: int = 1_000
    job_sample: int = 5_000
    sql_sample: int = 50_000
    only: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One leg: who renews how many, and when they fall due."""

    name: str
    count: int
    due_at: datetime


TITLES: Final[Mapping[str, str]] = {
    "ours": "the renew door's code, one process: open, charge, settle",
    "ours twice": "the same in two processes that share the work, as two renew functions do",
    "a": "SQLAlchemy ORM loop, row by row, two commits each",
    "j": "a job of procrastinate each, hand-written SQL, two commits, 8 at a time",
    "j twice": "the same in two processes that share the work",
    "b": "one SQL statement per 5,000, no provider asked: a ceiling that no real system reaches",
}


class Worker:
    """A process that renews what is due each time it is asked. `more` goes into its environment."""

    def __init__(self, stage: Stage, module: str, *arguments: str, **more: str) -> None:
        self._log = (stage.home / f"{module}.log").open("ab")
        self._process = Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=dict(os.environ) | stage.environment | more,
        )
        self._expect("ready")

    def start(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._expect("{"))
        return found

    def _expect(self, start: str) -> str:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith(start):
                return line
        raise RuntimeError(
            f"the worker ended; see {self._log.name}: {Path(self._log.name).read_text()[-2000:]}"
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self._log.close()


def renewed_by(crew: Sequence[Worker]) -> dict[str, Any]:
    """All of them start at once; the slowest ends the leg."""
    for worker in crew:
        worker.start()
    found = [worker.finish() for worker in crew]
    return {
        "renewed": sum(one["renewed"] for one in found),
        "seconds": max(one["seconds"] for one in found),
        "cpu_s": sum(one["cpu_s"] for one in found),
        "memory_mib": [size for one in found for size in one.get("memory_mib", [])],
        "peak_mib": max(one["peak_mib"] for one in found),
    }


def crews(stage: Stage, names: Sequence[str]) -> dict[str, list[Worker]]:
    ours, jobs = "benchmarks.renewal_worker", "benchmarks.controls.job_renewals"
    made: dict[str, Callable[[], list[Worker]]] = {
        "ours": lambda: [Worker(stage, ours)],
        "ours twice": lambda: [Worker(stage, ours) for _ in range(2)],
        "a": lambda: [Worker(stage, "benchmarks.controls.orm_renewals")],
        "j": lambda: [Worker(stage, jobs, "0", "1")],
        "j twice": lambda: [Worker(stage, jobs, share, "2") for share in "01"],
    }
    return {name: make() for name, make in made.items() if name in names}


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    names = [name for name in TITLES if not options.only or name in options.only]
    contenders = {name: Contender(name, TITLES[name]) for name in names}
    counts = {
        "ours": options.renewals // options.rounds,
        "ours twice": options.renewals // options.rounds,
        "a": options.orm_sample,
        "j": options.job_sample,
        "j twice": options.job_sample,
        "b": options.sql_sample,
    }
    plan = [(n, name) for n in range(options.rounds) for name in rotated(names, n)]
    start = stage.value("SELECT date_trunc('hour', now()) + interval '1 day'")
    planned = [
        Planned(name=name, count=counts[name], due_at=start + i * APART) for i, (_, name) in enumerate(plan)
    ]
    began = time.perf_counter()
    seed(stage, planned)
    say(f"seeded {sum(leg.count for leg in planned):,} subscriptions in {time.perf_counter() - began:.0f} s")
    workers = crews(stage, names)
    memory_mib: list[float] = []
    try:
        for leg in planned:
            contender = contenders[leg.name]
            make_due(stage, leg.due_at)
            found = renewed_by(workers[leg.name]) if leg.name in workers else one_statement(stage)
            check(stage, leg, found)
            contender.legs.append(
                Leg(
                    per_s=found["renewed"] / found["seconds"],
                    cpu_us=1e6 * found["cpu_s"] / found["renewed"] if "cpu_s" in found else None,
                    count=found["renewed"],
                )
            )
            contender.peak_mib = found.get("peak_mib")
            memory_mib += found.get("memory_mib", []) if leg.name == "ours" else []
            say(
                f"{leg.name}: {found['renewed']:,} in {found['seconds']:.1f} s, {contender.legs[-1].per_s:,.0f}/s"
            )
    finally:
        for worker in chain.from_iterable(workers.values()):
            worker.close()
    return Report(
        title=f"Renewal of {options.renewals:,} due subscriptions, {options.rounds} rounds",
        unit="renewals/s",
        contenders=list(contenders.values()),
        baseline="a",
        notes=[*about_memory(memory_mib), check_all(stage)],
        facts={"memory_mib": memory_mib},
    )


def about_memory(memory_mib: Sequence[float]) -> list[str]:
    if not memory_mib:
        return []
    tenth = memory_mib[len(memory_mib) // 10]
    text = (
        f"Memory of our process: {tenth:.0f} MiB after a tenth of the work, {memory_mib[-1]:.0f} MiB at the end, "
        f"{max(memory_mib):.0f} MiB at most."
    )
    return [text]


def seed(stage: Stage, planned: Sequence[Planned], provider: str = INSTANT) -> None:
    """Active monthly subscriptions on their twelfth period, in three time zones, each with customer, card and the last period's order."""
    with stage.db() as db:
        offset = 0
        for leg in planned:
            numbers = [offset + 1, offset + leg.count]
            db.execute(_CUSTOMERS, numbers)
            db.execute(_METHODS, [provider, *numbers])
            db.execute(_SUBSCRIPTIONS, [leg.due_at, PRICE_MINOR, provider, *numbers])
            db.execute(_ORDERS, [f"sub_{number:026}" for number in numbers])
            db.execute(_PAYMENTS, [f"ord_{number:026}" for number in numbers])
            offset += leg.count
        db.execute("VACUUM ANALYZE")


_CUSTOMERS = """
    INSERT INTO customers (id, email, locale, time_zone, updated_at)
    SELECT 'cus_' || lpad(n::text, 9, '0'), 'cus_' || n || '@example.com', 'en', 'UTC', now()
    FROM generate_series(%s::int, %s::int) AS n
"""
_METHODS = """
    INSERT INTO payment_methods (id, customer_id, provider, provider_ref, brand, last4, expires, created_at)
    SELECT 'pm_' || lpad(n::text, 26, '0'), 'cus_' || lpad(n::text, 9, '0'), %s, 'card_' || n, 'visa', '4242', '2034-12',
           now() FROM generate_series(%s::int, %s::int) AS n
"""
# The period that ends now is the eleventh after the anchor, counted on the customer's wall clock.
_SUBSCRIPTIONS = """
    INSERT INTO subscriptions (id, customer_id, product_id, product_title, price_id, status, amount_minor, currency,
        interval_unit, interval_count, time_zone, provider, auto_renew, anchor_at, anchor_n, period_n, period_start,
        period_end, payment_method_id, next_action_at, version, created_at)
    SELECT 'sub_' || lpad(n::text, 26, '0'), 'cus_' || lpad(n::text, 9, '0'), 'prd_plan', 'Cinema Plus', 'prc_plan',
           'active', minor, 'EUR', 'month', 1, zone, provider, true,
           (due_at AT TIME ZONE zone - interval '11 months') AT TIME ZONE zone, 0, 11,
           (due_at AT TIME ZONE zone - interval '1 month') AT TIME ZONE zone, due_at, 'pm_' || lpad(n::text, 26, '0'),
           due_at, 12, now() - interval '1 year'
    FROM (SELECT n, %s::timestamptz AS due_at, %s::int AS minor, %s AS provider,
                 (ARRAY['UTC', 'Europe/Berlin', 'America/New_York'])[1 + n %% 3] AS zone
          FROM generate_series(%s::int, %s::int) AS n) AS made
"""
# The period that is running now was ordered and paid a month ago.
_ORDERS = """
    INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor,
        currency, provider, return_url, subscription_id, period_n, period_start, period_end, paid_payment_id, paid_at,
        created_at, expires_at, version)
    SELECT 'ord' || substr(id, 4), customer_id, price_id, product_id, product_title, 'subscription', 'subscription_cycle',
           'paid', amount_minor, currency, provider, '', id, period_n, period_start, period_end, 'pay' || substr(id, 4),
           period_start, period_start, period_start + interval '22 days', 4
    FROM subscriptions WHERE id BETWEEN %s AND %s
"""
_PAYMENTS = """
    INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, payment_method_id,
        provider_ref, captured_minor, fence, created_at)
    SELECT paid_payment_id, id, provider, 'charge', 'succeeded', 1, amount_minor, currency, 'pm' || substr(id, 4),
           'ins_' || paid_payment_id, amount_minor, 1, created_at FROM orders WHERE id BETWEEN %s AND %s
"""


def make_due(stage: Stage, due_at: datetime) -> None:
    """Move the clock to a second after `due_at`; what a relay would have delivered is gone; the disk is at rest."""
    with stage.db() as db:
        db.execute("TRUNCATE outbox")
        db.execute("CHECKPOINT")
        db.execute(
            """
            INSERT INTO test_clock (one, ahead) VALUES (true, %s - now() + interval '1 s')
            ON CONFLICT (one) DO UPDATE SET ahead = EXCLUDED.ahead
            """,
            [due_at],
        )


def one_statement(stage: Stage) -> dict[str, Any]:
    statement, total, began = ONE_STATEMENT.read_bytes(), 0, time.perf_counter()
    with stage.db() as db:
        while renewed := db.execute(statement).rowcount:
            total += renewed
    return {"renewed": total, "seconds": time.perf_counter() - began}


def check(stage: Stage, leg: Planned, found: Mapping[str, Any]) -> None:
    """All of the leg's subscriptions were renewed, and five facts of each are in the outbox."""
    facts = stage.value("SELECT count(*) FROM outbox WHERE topic = 'billing.events'")
    due = stage.value("SELECT count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()")
    if (found["renewed"], facts, due) != (leg.count, 5 * leg.count, 0):
        raise RuntimeError(f"{leg}: {found}, {facts} facts, {due} still due")


def check_all(stage: Stage) -> str:
    """Each subscription was charged once and has its access; the ledger holds the sum to the cent."""
    with stage.db() as db:
        row = db.execute(
            """
            SELECT (SELECT count(*) FROM subscriptions),
                   (SELECT count(*) FROM subscriptions WHERE status = 'active' AND period_n = 12
                    AND open_order_id IS NULL AND next_action_at = period_end),
                   (SELECT count(DISTINCT subscription_id) FROM orders WHERE status = 'paid' AND period_n = 12),
                   (SELECT count(*) FROM orders WHERE period_n = 12),
                   (SELECT count(*) FROM payments WHERE status = 'succeeded') / 2, (SELECT count(*) FROM payments) / 2,
                   (SELECT count(*) FROM entitlements WHERE status = 'active'),
                   (SELECT count(*) FROM ledger_entries),
                   (SELECT sum(amount_minor)::bigint FROM ledger_entries)
            """
        ).fetchone()
    assert row is not None
    *counts, total_minor = row
    if len(set(counts)) != 1 or total_minor != counts[0] * PRICE_MINOR:
        raise RuntimeError(f"the books do not agree: {row}")
    return f"Checked: {counts[0]:,} subscriptions, each charged once; the ledger holds {total_minor / 100:,.2f} EUR."
