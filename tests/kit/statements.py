"""Records the statements that Boxoffice sends to PostgreSQL, with the places of the code that send them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from shared_lib.store.transaction import Transaction
from tests.kit.mutations import ROOT

Place = tuple[str, int]
"""A file, from the root of the repository, and a line."""

# What sends or queues a statement, by its name.
_SENDS: Final = frozenset({"ask", "fetch", "later"})
_ROOMS: Final = ("phases", "queries", "store")
_QUERY: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@dataclass
class Recorded:
    """Each statement with the parameters of its first use; and the lines that took part in sending one."""

    statements: dict[str, Any] = field(default_factory=dict)
    lines: set[Place] = field(default_factory=set)


@contextmanager
def recording(monkeypatch: Any) -> Iterator[Recorded]:
    """Record what every asynchronous connection of this process sends until the block ends."""
    found = Recorded()
    execute, ask, later = psycopg.AsyncConnection.execute, Transaction.ask, Transaction.later

    async def recorded_execute(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if isinstance(query, str) and _QUERY.match(query):
            found.statements.setdefault(query, params)
        return await execute(self, query, params, **more)

    async def recorded_ask(self: Transaction, sql: str, parameters: Any = ()) -> Any:
        found.lines |= _callers()
        return await ask(self, sql, parameters)

    def recorded_later(self: Transaction, sql: str, parameters: Any) -> None:
        found.lines |= _callers()
        later(self, sql, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", recorded_execute)
        patched.setattr(Transaction, "ask", recorded_ask)
        patched.setattr(Transaction, "later", recorded_later)
        yield found


def _callers() -> set[Place]:
    places, frame = set(), inspect.currentframe()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT / "shared_lib"):
            places.add((str(path.relative_to(ROOT)), frame.f_lineno))
        frame = frame.f_back
    return places


def unsent(lines: set[Place]) -> list[str]:
    """Calls in the rooms that know SQL which sent no statement: `file:line code`."""
    missing = []
    for room in _ROOMS:
        for path in sorted((ROOT / "shared_lib" / room).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for call in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                    continue
                sent = any((name, line) in lines for line in range(call.lineno, (call.end_lineno or 0) + 1))
                if call.func.attr in _SENDS and not sent:
                    missing.append(f"{name}:{call.lineno} {ast.unparse(call.func)}")
    return missing


def explained(db: psycopg.Connection[Any], statement: str, parameters: Any) -> dict[str, Any]:
    """The plan that the server keeps for a prepared statement, whatever its parameters are."""
    query = PostgresQuery(Transformer(db))
    query.convert(statement, parameters)
    kinds = [_name(db, oid) for oid in query.types or ()]

    def cast(place: re.Match[str]) -> str:
        kind = kinds[int(place[1]) - 1]
        return f"{place[0]}::{kind}" if kind else place[0]

    typed = re.sub(r"\$(\d+)(?!\d|::)", cast, query.query.decode())
    (row,) = db.execute(
        f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {typed}".replace("%", "%%").encode(), ()
    ).fetchall()
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _name(db: psycopg.Connection[Any], oid: int) -> str:
    """The type of a parameter; empty when the server finds it out from the statement."""
    if not oid:
        return ""
    row = db.execute("SELECT format_type(%s, NULL)", [oid]).fetchone()
    assert row is not None
    return str(row[0])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
