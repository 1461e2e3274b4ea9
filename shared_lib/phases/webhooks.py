"""Webhooks: taken once, believed because they are signed, kept when we do not know yet what they are about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from shared_lib.domain.messages import SetAsideKind
from shared_lib.phases import methods
from shared_lib.phases.adopting import observe
from shared_lib.phases.collecting import Collecting
from shared_lib.phases.desk import Desk
from shared_lib.phases.known import Known
from shared_lib.phases.observations import Observed
from shared_lib.phases.undecided import Due, SetAside
from shared_lib.providers.base import EventKind, ProviderEvent
from shared_lib.store import inbox
from shared_lib.store.transaction import Transaction

TRY_AGAIN = tuple(timedelta(seconds=s) for s in (1, 2, 5, 15, 60, 300))
# After this a human looks: somebody took money in our name that no order of ours asked for.
ORPHANED_AFTER = timedelta(days=1)

EVENT = TypeAdapter(ProviderEvent)


class WebhookResult(StrEnum):
    SETTLED = "settled"
    DUPLICATE = "duplicate"
    PARKED = "parked"  # about something we do not know (yet): kept, and applied again by reconcile
    CONTRADICTION = "contradiction"  # ask the provider before believing
    IGNORED = "ignored"  # authentic, and nothing to us


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One verified event. `again`: it is parked in the inbox already and is tried once more.

    `asked`: what it says was fetched just now. `other_mode`: it speaks of play money where money is real, or the reverse.
    """

    provider: str
    event: ProviderEvent
    again: bool = False
    asked: bool = False
    other_mode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
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


async def settle_from_webhooks(tx: Transaction, received: Sequence[Received]) -> list[WebhookResult]:
    """Record what providers told us. The event id and its effect are committed together, so both happen once."""
    taken = await _take(tx, received)
    payments = await _payments(tx, received)
    refunded = await _refunded(tx, received)
    desk = Desk(tx)
    order_ids = [order_id for _, order_id in (*payments.values(), *refunded.values())]
    await desk.lock(order_ids, refunds=bool(refunded))
    await desk.read_entitlements()
    news = {
        key: Observed(payment_id=payments[key][0], said=item.event.payment, asked=item.asked)
        for item in received
        if item.event.payment and (key := _address(item)) in payments
    }
    collecting = Collecting(desk, await Known.read(desk, list(news.values())))
    results: list[WebhookResult] = []
    for item in received:
        key = _address(item)
        if key not in taken:
            results.append(WebhookResult.DUPLICATE)
            continue
        taken.discard(key)  # the same event twice in one batch
        results.append(_apply(tx, collecting, item, news.get(key), refunded.get(key)))
    desk.write()
    _note(tx, received, results)
    return results


async def parked(tx: Transaction, limit: int) -> list[Parked]:
    """A query: events whose time to be tried again has come, but those that are set aside."""
    now = await tx.clock()
    rows = await tx.fetch(
        """
        SELECT source, event_id, payload, received_at, a.id IS NOT NULL FROM inbox
        LEFT JOIN set_aside a ON a.kind = 'message' AND a.id = source || '/' || event_id
        WHERE status = 'parked' AND inbox.next_try_at <= %s AND NOT starts_with(source, %s)
          AND (a.next_try_at IS NULL OR a.next_try_at <= %s)
        ORDER BY inbox.next_try_at LIMIT %s
        """,
        [now, inbox.PLAYS, now, limit],
    )
    return [_parked(*row) for row in rows]


def _parked(source: str, event_id: str, payload: object, received_at: datetime, again: bool) -> Parked:  # noqa: FBT001  # a column
    event, unreadable = None, ""
    try:
        event = EVENT.validate_python(payload, strict=False)
    except ValidationError as error:
        unreadable = f"{error.error_count()} fields of the kept event cannot be read"
    return Parked(
        provider=source,
        event_id=event_id,
        event=event,
        received_at=received_at,
        unreadable=unreadable,
        again=again,
    )


def _address(item: Received) -> tuple[str, str]:
    return item.provider, item.event.dedup_id


async def _take(tx: Transaction, received: Sequence[Received]) -> set[tuple[str, str]]:
    taken = await inbox.take(tx, [_address(item) for item in received if not item.again])
    again = [_address(item) for item in received if item.again]
    if again:
        rows = await tx.fetch(
            """
            SELECT source, event_id FROM inbox
            WHERE (source, event_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'parked'
            ORDER BY source, event_id FOR UPDATE
            """,
            [[source for source, _ in again], [event_id for _, event_id in again]],
        )
        taken |= {(row[0], row[1]) for row in rows}
    return taken


async def _payments(tx: Transaction, received: Sequence[Received]) -> dict[tuple[str, str], tuple[str, str]]:
    """Our payment (and its order) of each event: by the provider's own id, else by the id in its metadata."""
    about = [item for item in received if item.event.payment]
    if not about:
        return {}
    rows = await tx.fetch(
        """
        SELECT asked.source, asked.event_id, p.id, p.order_id
        FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[]) AS asked (source, event_id, ours, theirs)
        JOIN payments p ON p.id = asked.ours OR (p.provider = asked.source AND p.provider_ref = asked.theirs)
        ORDER BY p.provider = asked.source AND p.provider_ref IS NOT DISTINCT FROM asked.theirs
        """,
        [
            [item.provider for item in about],
            [item.event.dedup_id for item in about],
            [item.event.payment.payment_id for item in about if item.event.payment],
            [item.event.payment.ref.provider_payment_id for item in about if item.event.payment],
        ],
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}  # the last one wins


async def _refunded(tx: Transaction, received: Sequence[Received]) -> dict[tuple[str, str], tuple[str, str]]:
    """Our payment (and its order) that each refund returns. Its own row may not exist: it was made by another hand."""
    about = [item for item in received if item.event.refund]
    if not about:
        return {}
    rows = await tx.fetch(
        """
        SELECT asked.source, asked.event_id, p.id, p.order_id
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS asked (source, event_id, theirs)
        JOIN payments p ON p.provider = asked.source AND p.provider_ref = asked.theirs
        """,
        [
            [item.provider for item in about],
            [item.event.dedup_id for item in about],
            [item.event.refund.payment.provider_payment_id for item in about if item.event.refund],
        ],
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def _apply(
    tx: Transaction,
    collecting: Collecting,
    item: Received,
    news: Observed | None,
    refunded: tuple[str, str] | None,
) -> WebhookResult:
    event = item.event
    if item.other_mode:
        return WebhookResult.PARKED
    if event.payment and event.kind is EventKind.PAYMENT:
        if news is None:
            return WebhookResult.PARKED
        return _result(agrees=not collecting.apply(news).alarm)
    if event.refund:
        if news:  # its payment came with it
            collecting.apply(news)
        if refunded is None:
            return WebhookResult.PARKED
        desk = collecting.desk
        agrees = observe(desk, desk.payments[refunded[0]], event.refund, asked=item.asked)
        return _result(agrees=agrees)
    if event.kind is EventKind.METHOD:
        if event.method_gone:
            methods.removed(tx, item.provider, event.object_id)
        elif event.method:
            methods.changed(tx, item.provider, event.method)
        return WebhookResult.SETTLED
    return WebhookResult.IGNORED


def _result(*, agrees: bool) -> WebhookResult:
    return WebhookResult.SETTLED if agrees else WebhookResult.CONTRADICTION


def _note(tx: Transaction, received: Sequence[Received], results: Sequence[WebhookResult]) -> None:
    """Parked and contradicting events keep their content; what was parked and is settled now is done."""
    for item, result in zip(received, results, strict=True):
        match result:
            case WebhookResult.PARKED | WebhookResult.CONTRADICTION:
                tx.later(
                    """
                    UPDATE inbox SET payload = %s, attempts = attempts + 1,
                        status = CASE WHEN received_at < %s THEN 'orphaned' ELSE 'parked' END,
                        next_try_at = %s + (%s::interval[])[least(attempts + 1, %s)]
                    WHERE source = %s AND event_id = %s
                    """,
                    [
                        json.dumps(EVENT.dump_python(item.event, mode="json")),
                        tx.now - ORPHANED_AFTER,
                        tx.now,
                        list(TRY_AGAIN),
                        len(TRY_AGAIN),
                        *_address(item),
                    ],
                )
            case WebhookResult.SETTLED | WebhookResult.IGNORED if item.again:
                tx.later(
                    "UPDATE inbox SET status = 'done', payload = NULL, next_try_at = NULL"
                    " WHERE source = %s AND event_id = %s",
                    list(_address(item)),
                )
            case _:
                pass
