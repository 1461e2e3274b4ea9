"""Lists of payments and refunds, newest first, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, many

_OF_FACE = {
    "payments": "face = ?",
    "refunds": "payment IN (SELECT id FROM payments WHERE face = ?)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Instants in microseconds of the simulated clock; `equal` maps columns to the value they must have.

    `where`: further conditions in SQL, written by a face and never by a caller.
    """

    limit: int
    created_from: int | None = None
    created_before: int | None = None
    equal: Mapping[str, str] = field(default_factory=dict)
    where: Sequence[str] = ()
    after: int | None = None  # the cursor of the page before


def page(at: Moment, table: Literal["payments", "refunds"], query: ListQuery) -> tuple[list[Row], int | None]:
    """The rows of the face that was called, and the cursor of the next page, None on the last one.

    A row made between two pages is newer than every cursor, so no page shifts.
    """
    conditions: list[tuple[str, object]] = [
        (_OF_FACE[table], at.face),
        ("created_at >= ?", query.created_from),
        ("created_at < ?", query.created_before),
        ("seq < ?", query.after),
        *((f"{column} = ?", value) for column, value in query.equal.items()),
    ]
    used = [(sql, value) for sql, value in conditions if value is not None]
    where = " AND ".join([*(sql for sql, _ in used), *query.where])
    sql = f"SELECT * FROM {table} WHERE {where} ORDER BY seq DESC LIMIT ?"
    rows = many(at.tx, sql, *(value for _, value in used), query.limit + 1)
    shown = rows[: query.limit]
    return shown, int(shown[-1]["seq"]) if len(rows) > query.limit else None
