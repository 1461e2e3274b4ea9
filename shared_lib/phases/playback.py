"""A play of a title counts for one entitlement: it starts a rental's clock, and ends the right to return a title."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import end_after_first_play
from shared_lib.domain.playing import Access, began_at, counted_for
from shared_lib.domain.values import replace
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk
from shared_lib.phases.undecided import Due
from shared_lib.queries.account import extended
from shared_lib.store import inbox
from shared_lib.store.transaction import Transaction

# A play of a title whose order is still open may have overtaken the news of its payment. It is kept this long.
PARKED_FOR: Final = timedelta(minutes=10)
TRY_AGAIN: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 15, 60))
# What ended longer ago than this is not looked at: Kafka keeps plays for 14 days.
LOOK_BACK: Final = timedelta(days=30)


class PlayResult(StrEnum):
    STARTED = "started"  # the first play of an entitlement was noted
    WATCHED_BEFORE = "watched_before"  # the entitlement that gives access was played before
    DUPLICATE = "duplicate"
    PARKED = "parked"  # the order of the title is not decided: reconcile tries the play again
    NO_ACCESS = (
        "no_access"  # a title of a plan, a free one, a revoked one or another customer's: nothing to start
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A customer began to watch a product. `again`: it is parked in the inbox and is tried once more."""

    source: str
    event_id: str
    customer_id: str
    product_id: str
    started_at: datetime
    again: bool = False

    @property
    def address(self) -> tuple[str, str]:
        return inbox.PLAYS + self.source, self.event_id

    @property
    def title(self) -> tuple[str, str]:
        return self.customer_id, self.product_id


async def start_playback(tx: Transaction, played: Sequence[Played]) -> list[PlayResult]:
    """Note first plays, each for one entitlement. Taking the event and its effect are committed together."""
    taken = await _take(tx, played)
    undecided, orders = await _orders(tx, played)
    desk = Desk(tx)
    await desk.lock([order_id for ids in orders.values() for order_id in ids])
    await desk.read_entitlements()
    results = []
    for play in played:
        if play.address not in taken:
            results.append(PlayResult.DUPLICATE)
            continue
        result = _play(desk, orders.get(play.title, []), play)
        if (
            result is PlayResult.NO_ACCESS
            and play.title in undecided
            and taken[play.address] > tx.now - PARKED_FOR
        ):
            result = PlayResult.PARKED
        del taken[play.address]  # the same event twice in one batch
        _note(tx, play, result)
        results.append(result)
    desk.write()
    return results


async def parked_plays(tx: Transaction, limit: int) -> list[tuple[Due, Played | None]]:
    """A query: plays whose time to be tried again has come, but those that are set aside. None: it cannot be read."""
    now = await tx.clock()
    rows = await tx.fetch(
        """
        SELECT source, event_id, payload, a.id IS NOT NULL FROM inbox
        LEFT JOIN set_aside a ON a.kind = 'message' AND a.id = source || '/' || event_id
        WHERE status = 'parked' AND inbox.next_try_at <= %s AND starts_with(source, %s)
          AND (a.next_try_at IS NULL OR a.next_try_at <= %s)
        ORDER BY inbox.next_try_at LIMIT %s
        """,
        [now, inbox.PLAYS, now, limit],
    )
    return [
        (Due(f"{source}/{event_id}", again), _kept(source, event_id, payload))
        for source, event_id, payload, again in rows
    ]


def _kept(source: str, event_id: str, payload: Any) -> Played | None:
    try:
        return Played(
            source=source.removeprefix(inbox.PLAYS),
            event_id=event_id,
            customer_id=payload["customer_id"],
            product_id=payload["product_id"],
            started_at=datetime.fromisoformat(payload["started_at"]),
            again=True,
        )
    except (LookupError, TypeError, ValueError):
        return None


async def _take(tx: Transaction, played: Sequence[Played]) -> dict[tuple[str, str], datetime]:
    """The plays that are to be looked at, with the instant at which each was received."""
    new = await inbox.take(tx, [play.address for play in played if not play.again])
    taken = dict.fromkeys(new, await tx.clock())
    again = [play.address for play in played if play.again]
    if again:
        rows = await tx.fetch(
            """
            SELECT source, event_id, received_at FROM inbox
            WHERE (source, event_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'parked'
            ORDER BY source, event_id FOR UPDATE
            """,
            [[source for source, _ in again], [event_id for _, event_id in again]],
        )
        taken |= {(row[0], row[1]): row[2] for row in rows}
    return taken


async def _orders(
    tx: Transaction, played: Sequence[Played]
) -> tuple[set[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """Titles with an open order, then the orders that give or gave access.

    In this sequence: an order that is paid between the two questions is found by both, and never by none.
    """
    titles = [[play.customer_id for play in played], [play.product_id for play in played]]
    undecided = await tx.ask(
        """
        SELECT DISTINCT customer_id, product_id FROM orders
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'pending'
        """,
        titles,
    )
    access = await tx.ask(
        """
        SELECT DISTINCT customer_id, product_id, order_id FROM entitlements
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND status = 'active' AND (ends_at IS NULL OR ends_at > boxoffice_now() - %s::interval)
        """,
        [*titles, LOOK_BACK],
    )
    open_titles = {(row[0], row[1]) for row in await undecided.rows()}
    orders: dict[tuple[str, str], list[str]] = {}
    for customer_id, product_id, order_id in await access.rows():
        orders.setdefault((customer_id, product_id), []).append(order_id)
    return open_titles, orders


def _play(desk: Desk, order_ids: Sequence[str], play: Played) -> PlayResult:
    candidates = [_access(desk, order_id) for order_id in order_ids]
    found = counted_for(candidates, play.started_at, desk.now)
    if found is None:
        return PlayResult.NO_ACCESS
    entitlement = found.entitlement
    if entitlement.first_played_at:
        return PlayResult.WATCHED_BEFORE
    at = began_at(found, play.started_at, desk.now)
    started = replace(entitlement, first_played_at=at)
    if entitlement.kind is PriceKind.RENTAL:
        started = replace(started, ends_at=end_after_first_play(entitlement.ends_at, at))
        desk.tell_of_order("billing.entitlement.changed", entitlement.order_id, facts.of_entitlement(started))
    desk.put(started)
    return PlayResult.STARTED


def _access(desk: Desk, order_id: str) -> Access:
    entitlement, order = desk.entitlements[order_id], desk.orders[order_id]
    subscription = desk.subscriptions.get(entitlement.subscription_id or "")
    if subscription is None:
        return Access(entitlement, entitlement.ends_at)
    renewal = (
        subscription.status,
        subscription.auto_renew,
        subscription.past_due_at,
        subscription.period_n,
        order.period_n,
    )
    return Access(entitlement, extended(entitlement, renewal).ends_at)


def _note(tx: Transaction, play: Played, result: PlayResult) -> None:
    """A parked play keeps its content; one that was parked and is decided now is done."""
    if result is PlayResult.PARKED:
        tx.later(
            """
            UPDATE inbox SET payload = %s, attempts = attempts + 1, status = 'parked',
                next_try_at = %s + (%s::interval[])[least(attempts + 1, %s)]
            WHERE source = %s AND event_id = %s
            """,
            [
                json.dumps(
                    {
                        "customer_id": play.customer_id,
                        "product_id": play.product_id,
                        "started_at": play.started_at.isoformat(),
                    }
                ),
                tx.now,
                list(TRY_AGAIN),
                len(TRY_AGAIN),
                *play.address,
            ],
        )
    elif play.again:
        tx.later(
            "UPDATE inbox SET status = 'done', payload = NULL, next_try_at = NULL WHERE source = %s AND event_id = %s",
            list(play.address),
        )
