"""`boxoffice repairs`: what operators did, newest first."""

from __future__ import annotations

from typing import Final

from shared_lib.cli.terminal import Output, by_name, connected, moment, table

ROWS_MAX: Final = 200
_NAMES: Final = ("id", "made_at", "by", "verb", "target", "because")


def show(target: str | None) -> Output:
    """`target`: what was repaired; None: everything."""
    with connected() as db:
        rows = db.execute(
            "SELECT id, made_at, made_by, verb, target, because FROM repairs WHERE %s::text IS NULL OR target = %s"
            " ORDER BY made_at DESC, id DESC LIMIT %s",
            [target, target, ROWS_MAX],
        ).fetchall()
    if not rows:
        return Output(["No repairs."], [])
    told = [(moment(row[1]), *row[2:]) for row in rows]
    return Output([table(("at (UTC)", *_NAMES[2:]), told)], by_name(_NAMES, rows))
