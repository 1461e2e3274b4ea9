"""What a relay pays to read 500 events while a backup holds its snapshot, with the floor in the outbox and without.

    python -m benchmarks.held                         # a million events delivered under the snapshot: four minutes
    python -m benchmarks.held --events 100000

Both ways read the same outbox in turns, at 0, 10, 20 ... percent of the events. `CPU ms` is the processor time that the reading backend of
PostgreSQL used, which other work of the machine changes least.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from benchmarks.figures import cpu_s, machine, spread
from benchmarks.outbox_rows import insert, rows
from benchmarks.stage import POSTGRES
from infra.servers.access import prepare
from infra.servers.postgres import temporary_postgres
from shared_lib.phases.records import BatchResult, delete_acknowledged
from shared_lib.queries.floor import NO_FLOOR, Floor
from shared_lib.queries.outbox import ReadBatch, unsent
from shared_lib.runtime import Runtime
from shared_lib.settings import Environment, Settings
from shared_lib.store.outbox import SHARDS
from shared_lib.store.transaction import snapshot
from shared_lib.workers.floor import MovingFloor

STEPS: Final = 10
READ: Final = 500
WAYS: Final = ("from the first row", "from the floor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    events: int = 1_000_000
    batch: int = 1_000
    reads: int = 20


@dataclass(slots=True)
class Point:
    """After so many delivered events: milliseconds of each read, and processor time of one, for each way."""

    delivered: int
    wall_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)


async def measure(url: str, options: Options, say: Callable[[str], None]) -> list[Point]:
    """Deliver under a held snapshot, and read at each step."""
    settings = Settings(database_url=url, environment=Environment.TEST, sandbox_url="http://127.0.0.1:9")
    rt = await Runtime.open(settings)
    points = []
    try:
        async with await psycopg.AsyncConnection.connect(url) as backup:
            await backup.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await backup.execute("SELECT count(*) FROM outbox")
            floor = MovingFloor(rt)
            for step in range(STEPS + 1):
                if step:
                    await _deliver(rt, url, floor, options, step)
                point = await _read(url, floor.now, options, step)
                points.append(point)
                say(_line(point))
    finally:
        await rt.aclose()
    return points


async def _deliver(rt: Runtime, url: str, floor: MovingFloor, options: Options, step: int) -> None:
    """A tenth of the events: committed, read by the relay's own query, deleted."""
    count = options.events // STEPS
    for at in range(0, count, options.batch):
        _commit(url, (step - 1) * count + at, min(options.batch, count - at))
        await floor.follow()
        batch = ReadBatch(shards=range(SHARDS), floor=floor.now, limit=options.batch)
        found = await rt.read(unsent, batch)
        floor.found(len(found))
        await rt.run(delete_acknowledged, BatchResult(acknowledged=[row.row_id for row in found]))


async def _read(url: str, floor: Floor, options: Options, step: int) -> Point:
    """Read 500 events in each way by turns; they are deleted afterwards."""
    point = Point(delivered=step * (options.events // STEPS))
    ids = _commit(url, options.events + step * READ, READ)
    sessions = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in WAYS]
    try:
        for turn in range(options.reads + 5):
            for way, connection in zip(WAYS, sessions, strict=True):
                batch = ReadBatch(
                    shards=range(SHARDS), floor=floor if way == WAYS[1] else NO_FLOOR, limit=READ
                )
                if turn == 5:  # prepared and warm
                    point.cpu_ms[way] = -1e3 * cpu_s(connection.info.backend_pid)
                began = time.perf_counter()
                async with snapshot(connection) as tx:
                    found = await unsent(tx, batch)
                if [row.row_id for row in found] != ids:
                    raise RuntimeError(f"{way}: {len(found)} of {READ} events were read")
                if turn >= 5:
                    point.wall_ms.setdefault(way, []).append(1e3 * (time.perf_counter() - began))
        for way, connection in zip(WAYS, sessions, strict=True):
            point.cpu_ms[way] = (point.cpu_ms[way] + 1e3 * cpu_s(connection.info.backend_pid)) / options.reads
    finally:
        for connection in sessions:
            await connection.close()
    with psycopg.connect(url) as db:
        db.execute("DELETE FROM outbox WHERE id = ANY(%s)", [ids])
    return point


def _commit(url: str, first: int, count: int) -> list[int]:
    """Commit so many events. Returns their ids."""
    with psycopg.connect(url) as db:
        before: Any = db.execute("SELECT last_value - (NOT is_called)::int FROM outbox_id_seq").fetchone()
        insert(db, list(rows(count, first=first)))
        found = db.execute("SELECT id FROM outbox WHERE id > %s ORDER BY id", [before[0]]).fetchall()
    return [row[0] for row in found]


def _line(point: Point) -> str:
    cells = [f"{spread(point.wall_ms[way])} | {point.cpu_ms[way]:.1f}" for way in WAYS]
    return f"| {point.delivered:,} | " + " | ".join(cells) + " |"


def table(points: Sequence[Point]) -> str:
    """Markdown, for docs/benchmarks.md."""
    heads = " | ".join(f"{way}, ms | CPU ms" for way in WAYS)
    grown = [(way, points[-1].cpu_ms[way] / points[0].cpu_ms[way]) for way in WAYS if points[0].cpu_ms[way]]
    return "\n".join(
        [
            f"| delivered | {heads} |",
            "| --- | --- | --- | --- | --- |",
            *map(_line, points),
            "",
            *(
                f"- {way}: the last read takes {ratio:.2f} times the processor time of the first."
                for way, ratio in grown
            ),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = Options(events=parser.parse_args(argv).events)
    print(machine(), file=sys.stderr)
    with temporary_postgres(POSTGRES) as postgres:
        url = postgres.create_database("held")
        prepare(url)
        points = asyncio.run(measure(url, options, lambda line: print(line, file=sys.stderr, flush=True)))
    print(table(points))


if __name__ == "__main__":
    main()
