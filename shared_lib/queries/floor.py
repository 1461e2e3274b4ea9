"""The floor of the outbox: the id at which a relay begins to read.

Rows that were delivered stay in the table and its index until no snapshot can see them, and a backup holds a snapshot for
hours. A relay that began at the first row would pass over all of them with each read.

A floor must not pass a row that is committed later under a lower id. So it moves in two steps. First a mark is made: the
last id that the sequence gave, and after it an xid of our own. A transaction that has an id up to the mark's took its xid
before (the trigger outbox_xid_before_id), so its xid is lower than the mark's. Once a snapshot has no running transaction
below the mark's xid, all of them have ended, the snapshot shows what they committed, and nothing can be added up to the
mark's id. (`pg_snapshot_xmax` would not do as a mark: it is the last *finished* xid plus one, and transactions above it run.)

Decision 0038 has the proof in full, and what follows for prepared transactions, restores and a sequence that is set back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared_lib.domain.values import Value, replace
from shared_lib.store.outbox import READ_IN_ORDER
from shared_lib.store.transaction import Transaction

# Rows that wait for their time (a mail to be sent again) would hold the floor; so many of them are named instead.
NAMED_MAX: Final = 200


class Mark(Value, kw_only=True):
    """`last`: the last id the outbox' sequence had given. `xid`: above that of every transaction that has an id up to it."""

    last: int
    xid: str


class Floor(Value, kw_only=True):
    """Below `id` the outbox has no rows but those `named`, and none will be committed there. The default passes over nothing."""

    id: int = 0
    named: Sequence[int] = ()
    mark: Mark | None = None


NO_FLOOR: Final = Floor()


class Raise(Value, kw_only=True):
    """`whole`: look below the floor too, in case the rules above were broken."""

    floor: Floor
    whole: bool = False


async def raised(tx: Transaction, ask: Raise) -> Floor:
    """The floor with a new mark, raised over what was deleted since; unchanged while a transaction below its mark runs."""
    floor, mark = ask.floor, ask.floor.mark
    if mark is not None:
        ended = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::text::xid8"
        if not (await tx.fetch(ended, [mark.xid]))[0][0]:
            return floor
        await tx.ask(READ_IN_ORDER)
        begin = NO_FLOOR if ask.whole else floor
        named = await tx.ask(
            "SELECT id FROM outbox WHERE id = ANY(%b::bigint[]) ORDER BY id", [list(begin.named)]
        )
        above = await tx.ask(
            "SELECT id FROM outbox WHERE id >= %s AND id <= %s ORDER BY id LIMIT %s",
            [begin.id, mark.last, NAMED_MAX + 1],
        )
        left = [row[0] for row in (*await named.rows(), *await above.rows())]
        rest = left[NAMED_MAX] if len(left) > NAMED_MAX else mark.last + 1
        floor = Floor(id=rest, named=left[:NAMED_MAX])
    # A sequence that gave no id yet says 1 as well as one that gave 1. The xid is taken in a later statement than the id.
    last = await tx.fetch("SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM outbox_id_seq")
    xid = await tx.fetch("SELECT pg_current_xact_id()::text")
    return replace(floor, mark=Mark(last=last[0][0], xid=xid[0][0]))
