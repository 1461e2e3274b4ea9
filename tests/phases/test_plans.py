"""No statement of a door, worker or tick reads a table that grows from its first row to its last.

A story sends every statement that the code has; a statement that it does not send is an error of the story. Then the tables are
filled with years of rows, and the server explains each.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
import pytest

from benchmarks.years import fill
from tests.kit.cinema import Cinema
from tests.kit.statements import Recorded, explained, nodes, recording, unsent
from tests.phases.every_statement import every_statement

ROWS: Final = 20_000
# What a cinema sells, what waits and is then deleted, and what has one row. Every other table grows with the past.
BOUNDED: Final = frozenset({"alembic_version", "outbox", "prices", "products", "set_aside", "test_clock"})


async def test_every_statement_finds_its_rows_by_an_index(
    cinema: Cinema, webhook_secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(monkeypatch) as found:
        await every_statement(cinema, webhook_secret)
    missing = unsent(found.lines)
    assert not missing, "send these in tests/phases/every_statement.py:\n" + "\n".join(missing)
    found.statements["SELECT count(*) FROM orders WHERE provider = %s"] = [
        "sandbox"
    ]  # so that this test can fail
    with cinema.db() as db:
        fill(db, ROWS)
        wrong = read_whole(db, found)
    assert wrong.pop("SELECT count(*) FROM orders WHERE provider = %s") == ["Seq Scan of orders"]
    assert not wrong, "\n".join(f"{reads}: {statement}" for statement, reads in wrong.items())


def read_whole(db: psycopg.Connection[Any], found: Recorded) -> dict[str, list[str]]:
    """Statement -> what it reads as a whole: a table that grows, or an index of all its rows."""
    tables = {name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    for table in sorted(tables - BOUNDED):
        row = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        assert row[0] >= ROWS, f"{table} grows: give it rows in benchmarks/years.py, or a bound in BOUNDED"
    whole = db.execute(
        "SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_index"
        " WHERE indpred IS NULL AND indrelid::regclass::text = ANY(%s)",
        [sorted(tables - BOUNDED)],
    ).fetchall()
    indexes = dict(whole)
    wrong = {}
    for statement, parameters in found.statements.items():
        reads = [
            f"{node['Node Type']} of {node.get('Index Name') or node['Relation Name']}"
            for node in nodes(explained(db, statement, parameters))
            if (node["Node Type"] == "Seq Scan" and node["Relation Name"] in tables - BOUNDED)
            or (node.get("Index Name") in indexes and "Index Cond" not in node)
        ]
        if reads:
            wrong[" ".join(statement.split())] = reads
    return wrong
