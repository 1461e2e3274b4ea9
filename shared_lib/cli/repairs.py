"""`boxoffice repairs`: what operators did, newest first."""

from __future__ import annotations

from typing import Final

from rich.console import RenderableType

from shared_lib.cli.terminal import Output, by_name, connected, moment, more, table

ROWS_MAX: Final = 200
_COLUMNS: Final = ("id", "made_at", "made_by", "verb", "target", "because")
_AFTER_ALL: Final = "rpr_~"  # sorts after every id
_NAMES: Final = ("id", "made_at", "by", "verb", "target", "because")


def show(target: str | None, *, before: str | None = None) -> Output:
    """At most ROWS_MAX. `target`: what was repaired; None: everything. `before`: the last id of an earlier list."""
    about = "target = %(target)s AND " if target else ""
    with connected() as db:
        rows = db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM repairs WHERE {about}id < %(before)s ORDER BY id DESC LIMIT %(max)s".encode(),
            {"target": target, "before": before or _AFTER_ALL, "max": ROWS_MAX},
        ).fetchall()
    if not rows:
        return Output(["No repairs."], [])
    told = [(row[0], moment(row[1]), *row[2:]) for row in rows]
    parts: list[RenderableType] = [table(("id", "at (UTC)", *_NAMES[2:]), told)]
    return Output([*parts, *more(rows, ROWS_MAX)], by_name(_NAMES, rows))
