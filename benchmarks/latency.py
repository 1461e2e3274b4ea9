"""Renewals while a provider takes its time: how near one renew process comes to Little's bound, in flight / latency.

The provider is another process and answers each charge after the latency; its client bears 1,000 charges in flight. With 300 ms that
allows 3,333 charges a second, more than one processor renews, so a second leg has a latency with which the processor is not the limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from benchmarks.figures import Contender, Leg, Report, spread
from benchmarks.many import IN_FLIGHT
from benchmarks.many import NAME as MANY
from benchmarks.renewals import Planned, Worker, check, check_all, make_due, renewed_by, seed
from benchmarks.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 3
    renewals: int = 5_000  # of each leg; a tick ends after 20 s, and what is measured is one tick
    latencies_ms: Sequence[int] = (300, 3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Of one leg: renewals a second from its first commit to its last, charges in flight as the provider saw them, processor time."""

    per_s: float
    most_in_flight: int
    in_flight: float  # on average, while there was more to charge
    cpu_us: float


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    """Each latency in every round."""
    start = stage.value("SELECT date_trunc('hour', now()) + interval '1 day'")
    legs = [ms for _ in range(options.rounds) for ms in options.latencies_ms]
    plan = [
        Planned(name=f"{ms} ms", count=options.renewals, due_at=start + timedelta(hours=n))
        for n, ms in enumerate(legs)
    ]
    seed(stage, plan, MANY)
    urls = {ms: stage.start_provider(ms) for ms in options.latencies_ms}
    workers = {ms: worker(stage, url) for ms, url in urls.items()}
    found: dict[int, list[Found]] = {ms: [] for ms in options.latencies_ms}
    try:
        for ms, leg in zip(legs, plan, strict=True):
            make_due(stage, leg.due_at)
            httpx.get(urls[ms])  # what it was asked before is forgotten
            renewed = renewed_by([workers[ms]])
            check(stage, leg, renewed)
            found[ms].append(_found(httpx.get(urls[ms]).json(), renewed))
            say(f"{leg.name}: {found[ms][-1]}")
    finally:
        for one in workers.values():
            one.close()
    return Report(
        title=f"Renewals at Little's bound, {IN_FLIGHT:,} charges in flight, {options.rounds} rounds of {options.renewals:,}",
        unit="renewals/s",
        contenders=[
            Contender(
                f"{ms} ms",
                f"bound {bound(ms):,.0f}/s",
                [Leg(per_s=one.per_s, cpu_us=one.cpu_us, count=options.renewals) for one in legs_of_one],
            )
            for ms, legs_of_one in found.items()
        ],
        notes=[*(note(ms, legs_of_one) for ms, legs_of_one in found.items()), check_all(stage)],
    )


def worker(stage: Stage, url: str) -> Worker:
    return Worker(
        stage,
        "benchmarks.renewal_worker",
        BOXOFFICE_PROVIDERS=MANY,
        BOXOFFICE_DEFAULT_PROVIDER=MANY,
        PROVIDER_URL=url,
    )


def bound(ms: int) -> float:
    """Charges a second that so many in flight allow."""
    return IN_FLIGHT / (ms / 1000)


def note(ms: int, legs: Sequence[Found]) -> str:
    processor = 1e6 / statistics.median(one.cpu_us for one in legs)
    return (
        f"{ms} ms: {spread([100 * one.in_flight / IN_FLIGHT for one in legs])} % of Little's bound while there was more to charge, at most "
        f"{max(one.most_in_flight for one in legs):,} in flight. A processor of its own would allow {processor:,.0f}/s."
    )


def _found(told: Mapping[str, Any], renewed: Mapping[str, Any]) -> Found:
    """Raises RuntimeError when the provider was asked more or less often than there were renewals."""
    if told["count"] != renewed["renewed"]:
        raise RuntimeError(f"{renewed['renewed']} renewals, and the provider was asked {told['count']} times")
    return Found(
        per_s=renewed["renewed"] / renewed["seconds"],
        most_in_flight=told["most"],
        in_flight=told["on_average"],
        cpu_us=1e6 * renewed["cpu_s"] / renewed["renewed"],
    )
