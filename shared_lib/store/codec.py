"""Values as rows: the columns of a value are its fields, so each is spelled in the value and in its table alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, Final, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

from shared_lib.domain.lease import Lease
from shared_lib.domain.money import Money
from shared_lib.domain.period import Interval
from shared_lib.domain.values import Value
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.transaction import Question, Row, Transaction

Kept = TypeVar("Kept")

_PARTS: Final[Mapping[type, Mapping[str, str]]] = {
    Money: {"minor": "{}_minor", "currency": "currency"},
    Interval: {"unit": "{}_unit", "count": "{}_count"},
    Lease: {
        "fence": "fence",
        "until": "lease_until",
        "first_sent_at": "first_sent_at",
        "checks": "checks",
        "next_check_at": "next_check_at",
    },
}
"""Values that take several columns: the column of each of their fields. `{}`: the name of the field that holds them."""

_TYPES: Final[Mapping[type, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    datetime: "timestamptz",
    Mapping: "jsonb",
    dict: "jsonb",
}


class Asked(Value, Generic[Kept]):
    """Rows on their way: the questions of several tables travel together. `question` None: there are none to ask for."""

    of: Callable[[Row], Kept]
    question: Question | None

    async def values(self) -> list[Kept]:
        return [*map(self.of, await self.question.rows())] if self.question else []


class Codec(Generic[Kept]):
    """A table whose rows are values of one class, column by column.

    `elsewhere`: columns that another table has, as SQL. What has any is only read. `stamp`: a column for the instant of
    the transaction that adds the row.
    """

    def __init__(
        self,
        kind: type[Kept],
        name: str,
        elsewhere: Mapping[str, str] | None = None,
        *,
        key: tuple[str, ...] = ("id",),
        stamp: str | None = None,
    ) -> None:
        self._stamped: Final = stamp is not None
        stamps = {stamp: "timestamptz"} if stamp else {}
        self.table: Final = Table(name, columns_of(kind) | stamps, key)
        self.width: Final = len(self.table.columns)
        qualified = {column: f"{name}.{column}" for column in self.table.columns} | dict(elsewhere or {})
        self.select: Final = ", ".join(qualified.values())
        """The columns in order, qualified, for SELECT and RETURNING."""
        self.of: Final[Callable[[Row], Kept]] = _reader(kind)
        """The value of a row that was selected so. It was valid when it was written: an unknown word of an enum is a ValueError,
        and money is checked as always."""
        self.row: Final[Callable[[Kept], Row]] = row_maker(kind)

    async def ask(
        self, tx: Transaction, condition: str, ids: Sequence[str], *parameters: object
    ) -> Asked[Kept]:
        """Ask for the rows that meet the condition, in which `ids` come first. Without ids nothing is asked."""
        if not ids:
            return Asked(self.of, None)
        sql = f"SELECT {self.select} FROM {self.table.name} WHERE {condition}"
        return Asked(self.of, await tx.ask(sql, [array_literal(ids), *parameters]))

    def insert(self, tx: Transaction, values: Sequence[Kept]) -> None:
        """Queue new rows."""
        rows = map(self.row, values)
        self.table.insert(tx, [(*row, tx.now) for row in rows] if self._stamped else [*rows])

    def update(self, tx: Transaction, changes: Sequence[tuple[Kept, Kept]]) -> None:
        """Queue the columns in which any (before, after) differs."""
        row = self.row
        self.table.update(tx, [(row(before), row(after)) for before, after in changes])


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a value's fields by name. Kept, because evaluating annotations is slow and a table is asked for them often."""
    return get_type_hints(kind)


def columns_of(kind: type) -> dict[str, str]:
    """The columns of a value in the order of its fields, each with its PostgreSQL type."""
    return {
        column: _type_of(column, hint)
        for name, whole in _hints(kind).items()
        for column, hint in _columns(name, whole).items()
    }


def row_maker(kind: type) -> Callable[[Any], Row]:
    """A function that makes the row of a value."""
    paths = [
        f"value.{name}.{part}" if part else f"value.{name}"
        for name, whole in _hints(kind).items()
        for part in _PARTS.get(_plain(whole), [""])
    ]
    return _function(f"def row_of(value):\n    return {', '.join(paths)}\n", {})


def _reader(kind: type[Kept]) -> Callable[[Row], Kept]:
    """A function that makes the value of a row, written out column by column as its class would be by hand."""
    names: dict[str, Any] = {}
    whole = _whole(kind, "", names)
    return _function(
        f"def value_of(row):\n    {', '.join(columns_of(kind))} = row\n    return {whole}\n", names
    )


def _function(source: str, names: dict[str, Any]) -> Callable[[Any], Any]:
    """The function that is written there, of the names of fields alone."""
    written: dict[str, Any] = {}
    exec(source, names, written)  # noqa: S102
    (function,) = written.values()
    return cast("Callable[[Any], Any]", function)


def _whole(kind: type, name: str, names: dict[str, Any]) -> str:
    """The expression that makes a value of variables named as its columns. `names` gets what it refers to."""
    names[kind.__name__] = kind
    columns = _PARTS.get(kind, {})
    fields = {
        field: _field(columns.get(field, field).format(name), hint, names)
        for field, hint in _hints(kind).items()
    }
    return f"{kind.__name__}({', '.join(f'{field}={value}' for field, value in fields.items())})"


def _field(name: str, hint: Any, names: dict[str, Any]) -> str:
    plain = _plain(hint)
    if parts := _PARTS.get(plain):
        first, whole = next(iter(parts.values())).format(name), _whole(plain, name, names)
        return f"({whole} if {first} is not None else None)" if plain is not hint else whole
    if issubclass(plain, Enum):
        names[f"{plain.__name__}s"] = _Members(plain, optional=plain is not hint)
        return f"{plain.__name__}s[{name}]"
    return name


class _Members(dict[str | None, Enum | None]):
    """The members of an enum by their words: a look-up costs a fifth of calling the enum."""

    def __init__(self, kind: type[Enum], *, optional: bool) -> None:
        super().__init__({member.value: member for member in kind})
        self._kind = kind
        if optional:
            self[None] = None

    def __missing__(self, word: str | None) -> Enum:
        return self._kind(word)  # raises ValueError: it is none of them


def _columns(name: str, hint: Any) -> dict[str, Any]:
    """The columns of one field, each with the type of what it holds."""
    plain = _plain(hint)
    if plain not in _PARTS:
        return {name: hint}
    hints = _hints(plain)
    return {column.format(name): hints[part] for part, column in _PARTS[plain].items()}


def _plain(hint: Any) -> type:
    """The class in a type that may be optional or have parameters."""
    kinds = (
        [kind for kind in get_args(hint) if kind is not NoneType] if NoneType in get_args(hint) else [hint]
    )
    kind = kinds[0]
    return cast("type", get_origin(kind) or kind)


def _type_of(column: str, hint: Any) -> str:
    """Raises LookupError for a type that no column has."""
    plain = _plain(hint)
    if column.endswith("_minor"):
        return "bigint"
    return "text" if issubclass(plain, Enum) else _TYPES[plain]
