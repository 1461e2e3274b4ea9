"""Write many rows with one statement: `INSERT ... SELECT unnest` and `UPDATE ... FROM unnest`.

The text of a statement depends on the table and its columns alone, so the server plans it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from struct import pack
from typing import Any, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from shared_lib.domain.values import Value
from shared_lib.store.transaction import Row, Transaction


@dataclass(frozen=True)
class Table:
    """A table's columns with their PostgreSQL types. `key` identifies a row."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...] = ("id",)

    @cached_property
    def insert_sql(self) -> str:
        names = ", ".join(self.columns)
        values = ", ".join(_cast(column, kind) for column, kind in self.columns.items())
        arrays = ", ".join(_array(kind) for kind in self.columns.values())
        return f"INSERT INTO {self.name} ({names}) SELECT {values} FROM unnest({arrays}) AS new ({names})"

    def insert(self, tx: Transaction, rows: Sequence[Row], *, on_conflict: str = "") -> None:
        """Add rows, each in the order of `columns`. Queued until the phase has decided."""
        if rows:
            parameters = map(_dumped, self.columns.values(), zip(*rows, strict=True))
            tx.later(f"{self.insert_sql} {on_conflict}", list(parameters))

    def update(self, tx: Transaction, changes: Sequence[tuple[Row, Row]]) -> None:
        """Set the columns in which any (before, after) differs, in the rows found by key. Queued as well."""
        if not changes:
            return
        befores = zip(*(before for before, _ in changes), strict=True)
        values = list(zip(*(after for _, after in changes), strict=True))
        places = [
            place
            for place, (column, before) in enumerate(zip(self.columns, befores, strict=True))
            if column not in self.key and before != values[place]
        ]
        if not places:
            return
        typed = list(self.columns.items())
        used = [*(list(self.columns).index(column) for column in self.key), *places]
        sql = _update_sql(self.name, self.key, tuple(typed[place] for place in used))
        tx.later(sql, [_dumped(typed[place][1], values[place]) for place in used])


@lru_cache(maxsize=256)
def _update_sql(table: str, key: tuple[str, ...], columns: tuple[tuple[str, str], ...]) -> str:
    """One text per set of columns, so that the server plans each once."""
    assignments = ", ".join(f"{column} = new.{column}" for column, _ in columns if column not in key)
    arrays = ", ".join(_array(kind) for _, kind in columns)
    match = " AND ".join(f"{table}.{column} = new.{column}" for column in key)
    names = ", ".join(column for column, _ in columns)
    return f"UPDATE {table} SET {assignments} FROM unnest({arrays}) AS new ({names}) WHERE {match}"


def _array(kind: str) -> str:
    """The parameter of one column: instants in binary, documents as one text, the rest as an array literal."""
    match kind:
        case "timestamptz":
            return "%b::timestamptz[]"
        case "jsonb":
            return f"string_to_array(%s, chr({ord(_BETWEEN)}))"
        case _:
            return f"%s::{kind}[]"


def _dumped(kind: str, values: Sequence[Any]) -> Any:
    match kind:
        case "timestamptz":
            return Instants(values)
        case "jsonb":
            return _BETWEEN.join(values)
        case _:
            return array_literal(values)


# No JSON has it as it is, so documents need no quotes around them, and none of their own is escaped.
_BETWEEN: Final = "\x1e"


class Instants(Value):
    """A parameter `%b::timestamptz[]`. Written by ourselves too: a batch has the same few instants many times."""

    values: Sequence[datetime | None]


class _InstantsDumper(Dumper):
    """The binary form of a one-dimensional array: its header, then the length and the value of each element."""

    format = Format.BINARY
    oid = 1185  # timestamptz[]

    def dump(self, obj: Instants) -> bytes:
        has_null, element_oid, first_index = None in obj.values, 1184, 1
        header = pack("!iiIii", 1, has_null, element_oid, len(obj.values), first_index)
        return header + b"".join(map(_dumped_instant, obj.values))


psycopg.adapters.register_dumper(Instants, _InstantsDumper)


@lru_cache(maxsize=4096)
def _dumped_instant(at: datetime | None) -> bytes:
    """The length in bytes, then microseconds since 2000; the length of NULL is -1."""
    return pack("!i", -1) if at is None else pack("!iq", 8, (at - _EPOCH) // timedelta(microseconds=1))


_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def array_literal(values: Sequence[Any]) -> str:
    """PostgreSQL's text form of an array of texts, numbers or truths; None is NULL.

    Written by ourselves because it is most of what a batch costs us: the driver looks at every value on its own.
    """
    if None in values:
        return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"
    if not values or not isinstance(values[0], str):
        return "{" + ",".join(map(str, values)) + "}"
    whole = _NUL.join(values)
    if whole.count(_NUL) != len(values) - 1:
        raise ValueError("PostgreSQL keeps no text with a NUL in it")
    return '{"' + _escaped(whole).replace(_NUL, '","') + '"}'


_NUL = "\0"


def _quoted(value: str) -> str:
    return f'"{_escaped(value)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _cast(column: str, kind: str) -> str:
    return f"new.{column}::jsonb" if kind == "jsonb" else f"new.{column}"
