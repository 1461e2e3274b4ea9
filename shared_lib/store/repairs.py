"""What operators did with `boxoffice`: one row per repair, written in the transaction of its effect and only ever added to."""

from __future__ import annotations

from typing import Any, Final

from shared_lib.domain.values import Value
from shared_lib.ids import new_id

INSERT: Final = """
    INSERT INTO repairs (id, made_at, made_by, verb, target, because) VALUES (%s, boxoffice_now(), %s, %s, %s, %s)
"""


class Repair(Value, kw_only=True):
    """Who (`made_by`) did what (`verb`, such as `replay`), and why."""

    made_by: str
    verb: str
    because: str | None = None

    def row(self, target: str) -> list[Any]:
        """The values of INSERT; `target` is the id of what was repaired."""
        return [new_id("rpr"), self.made_by, self.verb, target, self.because]
