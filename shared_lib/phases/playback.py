"""A play of a title counts for one entitlement: it starts a rental's clock, and ends the right to return a title."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared_lib.billing.plays import access_of, begin
from shared_lib.domain.playing import Played, counted_for
from shared_lib.store import inbox
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction

# A play of a title whose order is still open may have overtaken the report of its payment. It is kept this long.
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


async def start_playback(tx: Transaction, played: Sequence[Played]) -> list[PlayResult]:
    """Note first plays, each for one entitlement. Taking the event and its effect are committed together."""
    taken = await _take(tx, played)
    undecided, orders = await _orders(tx, played)
    cases = await Cases.of_orders(tx, [order_id for ids in orders.values() for order_id in ids])
    results = []
    for play in played:
        if play.address not in taken:
            results.append(PlayResult.DUPLICATE)
            continue
        result = _play(cases, orders.get(play.title, []), play)
        waits = play.title in undecided and taken[play.address] > tx.now - PARKED_FOR
        if result is PlayResult.NO_ACCESS and waits:
            result = PlayResult.PARKED
        del taken[play.address]  # the same event twice in one batch
        _note(tx, play, result)
        results.append(result)
    cases.write()
    return results


def _play(cases: Cases, order_ids: Sequence[str], play: Played) -> PlayResult:
    candidates = [access_of(case, order_id) for order_id in order_ids if (case := cases.of_order(order_id))]
    found = counted_for(candidates, play.started_at, cases.now)
    case = cases.of_order(found.entitlement.order_id) if found else None
    if found is None or case is None:
        return PlayResult.NO_ACCESS
    begun = begin(case, found, play.started_at)
    if begun is case:
        return PlayResult.WATCHED_BEFORE
    cases.keep(begun)
    return PlayResult.STARTED


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
        taken |= {(source, event_id): received_at for source, event_id, received_at in rows}
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
    open_titles = {(customer_id, product_id) for customer_id, product_id in await undecided.rows()}
    orders: dict[tuple[str, str], list[str]] = {}
    for customer_id, product_id, order_id in await access.rows():
        orders.setdefault((customer_id, product_id), []).append(order_id)
    return open_titles, orders


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
