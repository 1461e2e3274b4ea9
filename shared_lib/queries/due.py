"""What is due: rows to be decided, messages to be tried again.

Rows are named by id alone, so that no value of a broken one is read here. Those that are set aside are passed over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import ValidationError

from shared_lib.domain.messages import Due, SetAside, SetAsideKind
from shared_lib.domain.playing import PLAYS, Played
from shared_lib.domain.values import Value
from shared_lib.providers.base import ProviderEvent
from shared_lib.providers.kept import read
from shared_lib.store.transaction import Transaction

# ---- rows ----------------------------------------------------------------------------------------------------


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
    """Subscriptions whose time has come. Due means due <= now."""
    return await _due(tx, _SUBSCRIPTIONS, limit)


async def due_payments(tx: Transaction, limit: int) -> list[Due]:
    """Payments to be looked at, the one that has waited longest first."""
    return await _due(tx, _PAYMENTS, limit)


async def due_refunds(tx: Transaction, limit: int) -> list[Due]:
    """Refunds to be looked at."""
    return await _due(tx, _REFUNDS, limit)


async def _due(tx: Transaction, query: str, limit: int) -> list[Due]:
    now = await tx.clock()
    return [Due(id_, again) for id_, again in await tx.fetch(query, [now, now, limit])]


# ---- messages that are parked --------------------------------------------------------------------------------


class Parked(Value, kw_only=True):
    """What the inbox keeps, due to be tried again. `event` None: it is `unreadable`. `again`: it was set aside before."""

    provider: str
    event_id: str
    event: ProviderEvent | None
    received_at: datetime
    unreadable: str = ""
    again: bool = False

    @property
    def due(self) -> Due:
        return Due(f"{self.provider}/{self.event_id}", self.again)

    def aside(self, reason: str) -> SetAside:
        return SetAside(kind=SetAsideKind.MESSAGE, id=self.due.id, reason=reason)


async def parked(tx: Transaction, limit: int) -> list[Parked]:
    """Events whose time to be tried again has come, but those that are set aside."""
    now = await tx.clock()
    rows = await tx.fetch(
        """
        SELECT source, event_id, payload, received_at, a.id IS NOT NULL FROM inbox
        LEFT JOIN set_aside a ON a.kind = 'message' AND a.id = source || '/' || event_id
        WHERE status = 'parked' AND inbox.next_try_at <= %s AND NOT starts_with(source, %s)
          AND (a.next_try_at IS NULL OR a.next_try_at <= %s)
        ORDER BY inbox.next_try_at LIMIT %s
        """,
        [now, PLAYS, now, limit],
    )
    return [_parked(*row) for row in rows]


def _parked(source: str, event_id: str, payload: object, received_at: datetime, again: bool) -> Parked:  # noqa: FBT001  # a column
    event, unreadable = None, ""
    try:
        event = read(payload)
    except ValidationError:  # its text may repeat a value, so it is not shown
        unreadable = "the kept event cannot be read"
    return Parked(
        provider=source,
        event_id=event_id,
        event=event,
        received_at=received_at,
        unreadable=unreadable,
        again=again,
    )


async def parked_plays(tx: Transaction, limit: int) -> list[tuple[Due, Played | None]]:
    """Plays whose time to be tried again has come, but those that are set aside. None: it cannot be read."""
    now = await tx.clock()
    rows = await tx.fetch(
        """
        SELECT source, event_id, payload, a.id IS NOT NULL FROM inbox
        LEFT JOIN set_aside a ON a.kind = 'message' AND a.id = source || '/' || event_id
        WHERE status = 'parked' AND inbox.next_try_at <= %s AND starts_with(source, %s)
          AND (a.next_try_at IS NULL OR a.next_try_at <= %s)
        ORDER BY inbox.next_try_at LIMIT %s
        """,
        [now, PLAYS, now, limit],
    )
    return [
        (Due(f"{source}/{event_id}", again), _kept(source, event_id, payload))
        for source, event_id, payload, again in rows
    ]


def _kept(source: str, event_id: str, payload: Any) -> Played | None:
    try:
        return Played(
            source=source.removeprefix(PLAYS),
            event_id=event_id,
            customer_id=payload["customer_id"],
            product_id=payload["product_id"],
            started_at=datetime.fromisoformat(payload["started_at"]),
            again=True,
        )
    except (LookupError, TypeError, ValueError):
        return None
