"""Rows that could not be decided: set aside, passed over for a while, tried again later.

queries/due.py names what is due by id alone, so that no value of a broken row is read there. A phase takes one id per
item, so that the coalescer can halve a batch until the culprit stands alone, whatever its error: an exception while it is
read or decided, or the database's refusal when it is written. The culprit's row itself is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared_lib.domain.messages import SetAside, SetAsideKind
from shared_lib.domain.schedule import try_set_aside_at
from shared_lib.domain.values import Value
from shared_lib.store.transaction import Transaction

# A row that was due to be tried again this long ago, and has not failed since, was decided by another way.
DECIDED_AFTER = timedelta(hours=1)


class Kept(Value, kw_only=True):
    """How often the row has been set aside, and when it is tried again."""

    attempts: int
    next_try_at: datetime


async def set_aside(tx: Transaction, rows: Sequence[SetAside]) -> list[Kept]:
    """Pass over these rows for a while, longer each time: see `try_set_aside_at`."""
    now = await tx.clock()
    found = await tx.fetch(
        "SELECT kind, id, attempts FROM set_aside WHERE (kind, id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))"
        " ORDER BY kind, id FOR UPDATE",
        [[row.kind for row in rows], [row.id for row in rows]],
    )
    attempts = {(kind, id_): count for kind, id_, count in found}
    kept = [
        Kept(
            attempts=(before := attempts.get((row.kind, row.id), 0)) + 1,
            next_try_at=try_set_aside_at(now, before),
        )
        for row in rows
    ]
    for row, place in sorted(zip(rows, kept, strict=True), key=lambda pair: (pair[0].kind, pair[0].id)):
        tx.later(
            """
            INSERT INTO set_aside (kind, id, reason, attempts, set_aside_at, next_try_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (kind, id) DO UPDATE SET reason = EXCLUDED.reason, attempts = EXCLUDED.attempts,
                next_try_at = EXCLUDED.next_try_at
            """,
            [row.kind, row.id, row.reason, place.attempts, now, place.next_try_at],
        )
    return kept


async def take_back(tx: Transaction, rows: Sequence[tuple[SetAsideKind, str]]) -> list[None]:
    """These rows were decided after all."""
    tx.later(
        "DELETE FROM set_aside WHERE (kind, id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))",
        [[kind for kind, _ in rows], [id_ for _, id_ in rows]],
    )
    return [None] * len(rows)


async def purge_decided(tx: Transaction, wanted: Sequence[None]) -> list[None]:
    """Drop rows that a webhook or a customer has moved on: they are no longer due, so no round comes back to them."""
    tx.later("DELETE FROM set_aside WHERE next_try_at <= %s", [await tx.clock() - DECIDED_AFTER])
    return [None] * len(wanted)
