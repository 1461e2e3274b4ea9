"""Orders over HTTP: every request another customer's token, another key; the answer only after durable commits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.books import books
from benchmarks.controls.statements import pgbench_script
from benchmarks.figures import Contender, Leg, Report, cpu_s, family, peak_mib, percentile, rotated
from benchmarks.stage import TITLES, Stage, over_http, seed_orders
from infra.servers.binaries import installation
from infra.servers.ports import free_port, wait_for_http
from infra.servers.unprivileged import server_owner

LUA = Path(__file__).parent / "order.lua"
PGBENCH_CLIENTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    rounds: int = 5
    seconds: float = 8.0
    warmup_s: float = 2.0
    connections: int = 64
    customers: int = 12_000  # more than verdicts are remembered for
    history: int = 100_000
    generator: str = "wrk"
    only: Sequence[str] = ()
    over_http: bool = True  # the provider is another process; else it is in each server's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Who warms a server up does not come back, so that every token of a leg is new to it, and is verified.

    `prices` are of one leg: in the next one the same customers order other titles.
    """

    of_leg: Path
    of_warmup: Path
    prices: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of taking orders, by that many processes. `app` None: pgbench, without HTTP. `prefer`: the Prefer header. `driver`: of the ORM."""

    name: str
    title: str
    app: str | None
    function: str = ""
    prefer: str = "-"
    driver: str = "psycopg"
    processes: int = 1

    @property
    def server(self) -> str | None:
        """Ways with the same server share it."""
        return f"{self.app} {self.driver} {self.processes}" if self.app else None


WAYS: Final = (
    Way(name="ours", title="the door", app="shared_lib.web.serve:app", function="create_order"),
    Way(
        name="ours async",
        title="the door, Prefer: respond-async (one commit, a job asks the provider)",
        app="shared_lib.web.serve:app",
        function="create_order",
        prefer="respond-async",
    ),
    Way(
        name="ours twice",
        title="the door in two processes behind one address",
        app="shared_lib.web.serve:app",
        function="create_order",
        processes=2,
    ),
    Way(
        name="a",
        title="FastAPI + SQLAlchemy async ORM on psycopg, our driver",
        app="benchmarks.controls.orm_app:app",
        driver="psycopg",
    ),
    Way(
        name="a asyncpg",
        title="the same on asyncpg",
        app="benchmarks.controls.orm_app:app",
        driver="asyncpg",
    ),
    Way(name="b", title="FastAPI + psycopg, hand-written SQL", app="benchmarks.controls.sql_app:app"),
    Way(
        name="w",
        title="FastAPI + DBOS, the SQL of (b) in a durable workflow",
        app="benchmarks.controls.dbos_app:app",
    ),
    Way(
        name="w twice",
        title="the same in two processes behind one address",
        app="benchmarks.controls.dbos_app:app",
        processes=2,
    ),
    Way(name="c", title="pgbench -c 16, the SQL of (b), no HTTP", app=None),
    Way(name="d", title="null ASGI, no database", app="benchmarks.controls.null_app:app"),
)


def measure(stage: Stage, options: Options, say: Callable[[str], None]) -> Report:
    """Every way in every round, another one first each time."""
    seed_orders(stage, customers=options.customers, history=options.history)
    customers = stage.tokens(range(1, options.customers + 1))
    tokens = Tokens(
        of_leg=customers,
        of_warmup=stage.tokens(range(options.customers + 1, 2 * options.customers + 1)),
        prices=stage.prices(),
    )
    ways = [way for way in WAYS if not options.only or way.name in options.only]
    contenders = {way.name: Contender(way.name, way.title) for way in ways}
    ports = start(stage, ways, stage.start_provider() if options.over_http else "")
    for n in range(options.rounds):
        for place, way in enumerate(rotated(ways, n)):
            fresh(stage)
            port = ports.get(way.server)
            number = n * len(ways) + place
            first = number * options.customers // (options.rounds * len(ways))
            tokens = replace(tokens, of_leg=stage.tokens_from(customers, first), prices=stage.prices(number))
            leg = run_pgbench(stage, options) if port is None else run_http(stage, options, way, port, tokens)
            contenders[way.name].legs.append(leg)
            say(f"round {n + 1} {way.name}: {leg.per_s:,.0f}/s, p99 {leg.p99_ms or 0:.1f} ms")
    for way in ways:
        if way.server:
            contenders[way.name].peak_mib = sum(map(peak_mib, family(stage.servers[way.server].pid)))
    where = "the provider over HTTP" if options.over_http else "without the provider"
    return Report(
        title=f"Orders, {where}, {options.connections} connections, {options.rounds} rounds of {options.seconds:g} s",
        unit="orders/s",
        contenders=list(contenders.values()),
        baseline="a",
        notes=[
            f"Load: {options.generator}, closed loop; {options.customers:,} customers; one uvicorn worker each, but for the two processes.",
            "Every answer that was counted stands in the database; none failed (checked after each leg).",
        ],
    )


def start(stage: Stage, ways: Sequence[Way], provider_url: str) -> dict[str | None, int]:
    """One server per app, all of them idle but one at a time."""
    ports: dict[str | None, int] = {}
    for way in ways:
        if way.app and way.server and way.server not in ports:
            ports[way.server] = port = free_port()
            process = stage.serve(
                way.server,
                way.app,
                port=port,
                function=way.function,
                driver=way.driver,
                processes=way.processes,
                **over_http(provider_url),
            )
            try:
                wait_for_http(f"http://127.0.0.1:{port}/livez", alive=partial(_runs, process))
            except RuntimeError as error:
                raise RuntimeError(stage.log_tail(way.server)) from error
    return ports


def _runs(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def fresh(stage: Stage) -> None:
    """What a relay would have delivered is gone, and nothing waits to be written to disk."""
    with stage.db() as db:
        db.execute("TRUNCATE outbox")
        db.execute("CHECKPOINT")


def run_http(stage: Stage, options: Options, way: Way, port: int, tokens: Tokens) -> Leg:
    prefix = uuid.uuid4().hex
    load = run_wrk if options.generator == "wrk" else run_python
    prices = str(tokens.prices)
    load(
        port, options.connections, options.warmup_s, [str(tokens.of_warmup), prices, f"{prefix}w", way.prefer]
    )
    processes = family(stage.servers[way.server or ""].pid)
    before, used_s = books(stage), sum(map(cpu_s, processes))
    found = load(port, options.connections, options.seconds, [str(tokens.of_leg), prices, prefix, way.prefer])
    used_s = sum(map(cpu_s, processes)) - used_s
    added = books(stage).minus(before)
    # Requests that were cut off, at the end of the warm-up and of the leg, may be stored without having been counted.
    cut_off = 2 * options.connections
    stored = "null" in (way.app or "") or added.of(found["requests"], cut_off, settled=way.prefer == "-")
    if not found["requests"] or found["failed"] or not stored:
        raise RuntimeError(f"{way.name}: {found}, {added}\n{stage.log_tail(way.server or '')}")
    return Leg(
        per_s=found["requests"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        cpu_us=1e6 * used_s / found["requests"],
        count=found["requests"],
    )


def run_wrk(port: int, connections: int, seconds: float, arguments: list[str]) -> dict[str, Any]:
    whole = max(1, round(seconds))
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(LUA)]
    argv += [f"http://127.0.0.1:{port}/v1/orders", "--", *arguments]
    return last_line(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def run_python(port: int, connections: int, seconds: float, arguments: list[str]) -> dict[str, Any]:
    argv = [sys.executable, "-m", "benchmarks.generator", str(port), str(connections), str(seconds)]
    return last_line(subprocess.run([*argv, *arguments], capture_output=True, text=True, check=True).stdout)


def last_line(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def run_pgbench(stage: Stage, options: Options) -> Leg:
    """The same rows by the same SQL, two commits per order, with nothing of Python or HTTP in between."""
    script = stage.home / "order.pgbench"
    script.write_text(pgbench_script(options.customers, TITLES))
    for old in stage.home.glob("pgbench_log.*"):
        old.unlink()
    whole = max(1, round(options.seconds))
    argv = [str(pgbench_binary()), "-n", "-M", "prepared", "-c", str(PGBENCH_CLIENTS), "-j", "1"]
    argv += ["-T", str(whole), "-l", "-f", str(script), stage.database_url]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=stage.home)
    found = re.search(r"^tps = ([\d.]+)", ran.stdout, re.MULTILINE)
    if found is None or "number of failed transactions: 0 " not in ran.stdout:
        raise RuntimeError(ran.stdout + ran.stderr)
    lines = [line for log in stage.home.glob("pgbench_log.*") for line in log.read_text().splitlines()]
    took_ms = sorted(int(line.split()[2]) / 1000 for line in lines)
    return Leg(
        per_s=float(found[1]),
        p50_ms=percentile(took_ms, 50),
        p99_ms=percentile(took_ms, 99),
        count=len(took_ms),
    )


def pgbench_binary() -> Path:
    """The one beside the server's binaries."""
    return installation(server_owner()) / "bin" / "pgbench"


def find_generator(wanted: str) -> str:
    """Take wrk where it is, or where root can get it from Debian in a moment; else our own."""
    if wanted != "auto":
        return wanted
    if shutil.which("wrk") is None and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], capture_output=True, check=False)
    return "wrk" if shutil.which("wrk") else "python"
