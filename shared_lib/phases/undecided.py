"""Rows that could not be decided: set aside, passed over for a while, tried again later; and what is due otherwise.

A query names what is due by id alone, so that no value of a broken row is read there. A phase takes one id per item, so
that the coalescer can halve a batch until the culprit stands alone, whatever its error: an exception while it is read or
decided, or the database's no when it is written. The culprit's row itself is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared_lib.domain.messages import SetAsideKind
from shared_lib.domain.schedule import try_set_aside_at
from shared_lib.store.transaction import Transaction

# A row that was due to be tried again this long ago, and has not failed since, was decided by another way.
DECIDED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecidable:
    """An answer of a phase: this row cannot be decided now, and its neighbours can. Nothing was changed."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A row to set aside, with the reason in a few words."""

    kind: SetAsideKind
    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How often the row has been set aside, and when it is tried again."""

    attempts: int
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """The id of a row to be decided now. `again`: it was set aside before."""

    id: str
    again: bool = False


async def set_aside(tx: Transaction, rows: Sequence[SetAside]) -> list[Kept]:
    """Pass over these rows for a while, longer each time: see `try_set_aside_at`."""
    now = await tx.clock()
    found = await tx.fetch(
        "SELECT kind, id, attempts FROM set_aside WHERE (kind, id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))"
        " ORDER BY kind, id FOR UPDATE",
        [[row.kind for row in rows], [row.id for row in rows]],
    )
    attempts = {(row[0], row[1]): row[2] for row in found}
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


async def forget_decided(tx: Transaction, wanted: Sequence[None]) -> list[None]:
    """Rows that a webhook or a customer moved on are no longer due, so no round comes back to them."""
    tx.later("DELETE FROM set_aside WHERE next_try_at <= %s", [await tx.clock() - DECIDED_AFTER])
    return [None] * len(wanted)


def _due_query(kind: SetAsideKind, table: str, at: str, condition: str = "true") -> str:
    return f"""
        SELECT t.id, a.id IS NOT NULL FROM {table} t LEFT JOIN set_aside a ON a.kind = '{kind}' AND a.id = t.id
        WHERE {condition} AND {at} <= %s AND (next_try_at IS NULL OR next_try_at <= %s)
        ORDER BY {at}, t.id LIMIT %s
    """


_SUBSCRIPTIONS = _due_query(SetAsideKind.SUBSCRIPTION, "subscriptions", "next_action_at")
_PAYMENTS = _due_query(
    SetAsideKind.PAYMENT,
    "payments",
    "next_check_at",
    "status IN ('created', 'sending', 'pending', 'action_required', 'unknown')",
)
_REFUNDS = _due_query(
    SetAsideKind.REFUND,
    "refunds",
    "next_check_at",
    "status IN ('requested', 'sending', 'pending', 'unknown')",
)


async def due_subscriptions(tx: Transaction, limit: int) -> list[Due]:
    """A query: subscriptions whose time has come. Due means due <= now."""
    return await _due(tx, _SUBSCRIPTIONS, limit)


async def due_payments(tx: Transaction, limit: int) -> list[Due]:
    """A query: payments to be looked at, the one that has waited longest first."""
    return await _due(tx, _PAYMENTS, limit)


async def due_refunds(tx: Transaction, limit: int) -> list[Due]:
    """A query: refunds to be looked at."""
    return await _due(tx, _REFUNDS, limit)


async def _due(tx: Transaction, query: str, limit: int) -> list[Due]:
    now = await tx.clock()
    return [Due(row[0], row[1]) for row in await tx.fetch(query, [now, now, limit])]
