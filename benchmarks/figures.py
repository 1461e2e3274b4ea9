"""Figures of alternating rounds: medians, spread, ratios of the same round, and the table that shows them."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One contender in one round."""

    per_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None  # processor time of our process for one
    count: int = 0


@dataclass(slots=True)
class Contender:
    """One way of doing the work, with what its rounds brought and the most memory its process ever held."""

    name: str
    title: str
    legs: list[Leg] = field(default_factory=list)
    peak_mib: float | None = None


@dataclass(slots=True)
class Report:
    """What one benchmark found. `notes` are lines under its table; `facts` go to the JSON file only."""

    title: str
    unit: str
    contenders: list[Contender]
    baseline: str | None = None
    columns: tuple[str, str] = ("p50 ms", "p99 ms")
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def rotated(items: Sequence[Any], by: int) -> list[Any]:
    """Another one begins each round, so that none always runs on a warm or a tired machine."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def ratios(of: Contender, to: Contender, value: Callable[[Leg], float | None]) -> list[float]:
    """Round by round: both sides of a ratio were measured within the same minute."""
    pairs = [(value(ours), value(theirs)) for ours, theirs in zip(of.legs, to.legs, strict=True)]
    return [ours / theirs for ours, theirs in pairs if ours is not None and theirs]


def spread(values: Sequence[float]) -> str:
    """`median (least-most)`."""
    if not values:
        return "-"
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(report: Report) -> str:
    """Markdown, so that a run can be pasted into docs/benchmarks.md. Columns without a value are left out."""
    base = next((one for one in report.contenders if one.name == report.baseline), None)
    rate = report.unit != "-"
    columns: list[tuple[str, Callable[[Contender], str]]] = [
        ("", lambda one: f"{one.name}: {one.title}"),
        (report.unit, lambda one: spread([leg.per_s for leg in one.legs]) if rate else "-"),
        (report.columns[0], lambda one: spread(_known(one, lambda leg: leg.p50_ms))),
        (report.columns[1], lambda one: spread(_known(one, lambda leg: leg.p99_ms))),
        ("CPU us each", lambda one: spread(_known(one, lambda leg: leg.cpu_us))),
        ("peak MiB", lambda one: number(one.peak_mib) if one.peak_mib else "-"),
    ]
    if base:
        columns += [
            (f"times {base.name}", lambda one: spread(ratios(one, base, lambda leg: leg.per_s))),
            (
                f"{report.columns[1].removesuffix(' ms')} / {base.name}'s",
                lambda one: spread(ratios(one, base, lambda leg: leg.p99_ms)),
            ),
        ]
    cells = [(head, [show(one) for one in report.contenders]) for head, show in columns]
    filled = [(head, column) for head, column in cells if set(column) != {"-"}]
    rows = [[head for head, _ in filled], ["---"] * len(filled)]
    rows += [[column[place] for _, column in filled] for place in range(len(report.contenders))]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"### {report.title}", "", *lines, "", *(f"- {note}" for note in report.notes)])


def _known(one: Contender, value: Callable[[Leg], float | None]) -> list[float]:
    return [found for leg in one.legs if (found := value(leg)) is not None]


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpus": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def peak_mib(pid: int) -> float:
    """The most memory a process ever held (Linux)."""
    return status_mib(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """The memory a process holds now (Linux)."""
    return status_mib(pid, "VmRSS")


def proportional_mib(pid: int, name: str = "Pss") -> float:
    """The memory a process holds now, where pages shared by n processes count as a part of n for each (PSS; Linux).

    `Pss_Anon`: without files and without memory that processes share.
    """
    found = next(
        (line for line in _lines(f"/proc/{pid}/smaps_rollup") if line.startswith(f"{name}:")), "Pss: 0 kB"
    )
    return int(found.split()[1]) / 1024


def running_s(pid: int) -> float:
    """Processor time of a process in nanoseconds' steps, for what takes less than a second (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(line.split()[0]) for path in threads for line in _lines(str(path))) / 1e9


def cpu_s(pid: int) -> float:
    """Processor time a process has used, in user and kernel mode (Linux)."""
    stat = "".join(_lines(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") if stat else 0.0


def family(pid: int) -> list[int]:
    """The process and all below it (Linux)."""
    children = "".join(_lines(f"/proc/{pid}/task/{pid}/children")).split()
    return [pid, *(found for child in children for found in family(int(child)))]


def status_mib(pid: int, name: str) -> float:
    """What the kernel says about the memory of a process under that name in /proc/PID/status (Linux); 0 when it has ended."""
    found = next((line.split()[1] for line in _lines(f"/proc/{pid}/status") if line.startswith(name)), "0")
    return int(found) / 1024


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def save(results: Mapping[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2, default=asdict) + "\n")
