"""What a piece of work costs PostgreSQL: rows, bytes that stay, bytes of write-ahead log, processor time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from benchmarks.figures import number
from benchmarks.stage import Stage

_FIRST_USER_OID: Final = 16384
# Heap with TOAST, and indexes apart; both grow by whole pages.
_TABLES: Final = """
    SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND oid >= %s ORDER BY relname
"""


class Size(NamedTuple):
    """Of one table: rows, bytes of the heap, bytes of all its indexes."""

    rows: int
    heap: int
    indexes: int

    def minus(self, before: Size) -> Size:
        return Size(self.rows - before.rows, self.heap - before.heap, self.indexes - before.indexes)


NOTHING: Final = Size(0, 0, 0)


@dataclass(slots=True)
class Cost:
    """Of one leg: `count` orders, renewals or reads, and what they left behind all together."""

    title: str
    count: int = 0
    wal_bytes: int = 0
    postgres_cpu_s: float = 0.0
    door_cpu_s: float | None = None
    redis_bytes: int = 0  # of one mark
    tables: dict[str, Size] = field(default_factory=dict)

    @property
    def growth_bytes(self) -> int:
        """Of every table that has more rows than before, but the outbox: its rows go when the broker has them."""
        return sum(size.heap + size.indexes for name, size in self.tables.items() if name != "outbox")


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads the counters of one server. Everything it runs counts, so one leg runs at a time."""

    stage: Stage

    @contextmanager
    def leg(self, title: str) -> Iterator[Cost]:
        """Measure the body. It sets `count`, and `door_cpu_s` where a process of ours was measured too."""
        with self.stage.db() as db:
            cost, postmaster = Cost(title), parent(db.info.backend_pid)
            tables, wal, cpu_s = self.tables(), _wal(db), server_cpu_s(postmaster)
            yield cost
            cost.wal_bytes = _wal(db) - wal
            cost.postgres_cpu_s = server_cpu_s(postmaster) - cpu_s
        after = self.tables()
        grown = {name: size.minus(tables.get(name, NOTHING)) for name, size in after.items()}
        cost.tables = {name: size for name, size in grown.items() if size.rows > 0}

    def tables(self) -> dict[str, Size]:
        with self.stage.db() as db:
            found = db.execute(_TABLES, [_FIRST_USER_OID]).fetchall()
            return {
                name: Size(self.stage.value(f'SELECT count(*) FROM "{name}"'), heap, indexes)
                for name, heap, indexes in found
            }

    def set(self, **settings: str) -> None:
        """Change settings of the server that need no restart, and wait until they hold."""
        with self.stage.db() as db:
            for name, value in settings.items():
                db.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            db.execute("SELECT pg_reload_conf()")
        for name, value in settings.items():
            while self.stage.value(f"SELECT current_setting('{name}')") != value:
                pass  # each look is a new session, which begins with the settings of its moment


def server_cpu_s(postmaster: int) -> float:
    """Processor time of PostgreSQL, the backends that have ended included (Linux)."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended, and its parent counts it
            continue
        own = place.parent.name == str(postmaster)
        if own or after_name[1] == str(postmaster):
            ticks += sum(int(value) for value in after_name[11 : 15 if own else 13])
    return ticks / os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """The process that started it (Linux)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wal(db: psycopg.Connection[Any]) -> int:
    row = db.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


def costs_table(costs: list[Cost]) -> str:
    """Markdown: one line a leg, everything for one order, renewal or read."""
    lines = [
        "| | count | bytes that stay | WAL bytes | PostgreSQL CPU us | door CPU us |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for cost in costs:
        n = max(1, cost.count)
        door = number(1e6 * cost.door_cpu_s / n) if cost.door_cpu_s is not None else "-"
        values = (cost.growth_bytes / n, cost.wal_bytes / n, 1e6 * cost.postgres_cpu_s / n)
        cells = " | ".join(number(value) if value else "-" for value in values)
        lines.append(f"| {cost.title} | {cost.count:,} | {cells} | {door} |")
    return "\n".join(lines)


def rows_table(costs: list[Cost]) -> str:
    """Markdown: what one row of each table takes, by the leg that added rows."""
    lines = ["| Table | added by | rows each | heap bytes | index bytes |", "| --- | --- | --- | --- | --- |"]
    for cost in costs:
        for name, size in cost.tables.items():
            each, heap, indexes = (
                size.rows / max(1, cost.count),
                size.heap / size.rows,
                size.indexes / size.rows,
            )
            lines.append(f"| `{name}` | {cost.title} | {each:.2f} | {heap:,.0f} | {indexes:,.0f} |")
    return "\n".join(lines)
