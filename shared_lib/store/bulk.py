"""Write many rows with one statement: `INSERT ... SELECT unnest` and `UPDATE ... FROM unnest`.

The text of a statement depends on the table and its columns alone, so the server plans it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared_lib.store.transaction import Row, Transaction


@dataclass(frozen=True)
class Table:
    """A table's columns with their PostgreSQL types. `key` identifies a row; `fixed` columns never change."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...] = ("id",)
    fixed: frozenset[str] = frozenset()

    @cached_property
    def select(self) -> str:
        """The columns in order, qualified, for SELECT and RETURNING."""
        return ", ".join(f"{self.name}.{column}" for column in self.columns)

    @cached_property
    def insert_sql(self) -> str:
        names = ", ".join(self.columns)
        values = ", ".join(_cast(column, kind) for column, kind in self.columns.items())
        arrays = ", ".join(_array(kind) for kind in self.columns.values())
        return f"INSERT INTO {self.name} ({names}) SELECT {values} FROM unnest({arrays}) AS new ({names})"

    @cached_property
    def changing(self) -> list[str]:
        return [column for column in self.columns if column not in self.fixed and column not in self.key]

    @cached_property
    def update_sql(self) -> str:
        used = [*self.key, *self.changing]
        assignments = ", ".join(f"{column} = new.{column}" for column in self.changing)
        arrays = ", ".join(_array(self.columns[column]) for column in used)
        match = " AND ".join(f"{self.name}.{column} = new.{column}" for column in self.key)
        return (
            f"UPDATE {self.name} SET {assignments} "
            f"FROM unnest({arrays}) AS new ({', '.join(used)}) WHERE {match}"
        )

    def insert(self, tx: Transaction, rows: Sequence[Row], *, on_conflict: str = "") -> None:
        """Add rows, each in the order of `columns`. Put off until the phase has decided."""
        if rows:
            tx.later(f"{self.insert_sql} {on_conflict}", _columns(rows))

    def update(self, tx: Transaction, rows: Sequence[Row]) -> None:
        """Set every changing column of the rows found by key. Put off until the phase has decided."""
        if not rows:
            return
        places = {column: i for i, column in enumerate(self.columns)}
        arrays = _columns(rows)
        tx.later(self.update_sql, [arrays[places[column]] for column in (*self.key, *self.changing)])


def _array(kind: str) -> str:
    """The parameter of one column. Text travels in binary: in a text array every value would have to be escaped."""
    match kind:
        case "text" | "timestamptz":
            return f"%b::{kind}[]"
        case "jsonb":
            return "%b::text[]"
        case _:
            return f"%s::{kind}[]"


def _cast(column: str, kind: str) -> str:
    return f"new.{column}::jsonb" if kind == "jsonb" else f"new.{column}"


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
