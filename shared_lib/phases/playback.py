"""The first play of a title starts a rental's clock, and ends the customer's right to return it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import end_after_first_play
from shared_lib.domain.values import replace
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk
from shared_lib.store import inbox
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A customer began to watch a product."""

    source: str
    event_id: str
    customer_id: str
    product_id: str
    started_at: datetime


async def start_playback(tx: Transaction, played: Sequence[Played]) -> list[bool]:
    """Note first plays. False: the event was taken before, or there is nothing it could start."""
    taken = await inbox.take(tx, [(play.source, play.event_id) for play in played])
    orders = await _orders(tx, played)
    desk = Desk(tx)
    await desk.lock([order_id for ids in orders.values() for order_id in ids])
    await desk.read_entitlements()
    answers = []
    for play in played:
        address = play.source, play.event_id
        new = address in taken
        taken.discard(address)
        order_ids = orders.get((play.customer_id, play.product_id), []) if new else []
        started = [_play(desk, order_id, play) for order_id in order_ids]
        answers.append(any(started))
    desk.write()
    return answers


async def _orders(tx: Transaction, played: Sequence[Played]) -> dict[tuple[str, str], list[str]]:
    rows = await tx.fetch(
        """
        SELECT DISTINCT customer_id, product_id, order_id FROM entitlements
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND status = 'active' AND first_played_at IS NULL
        """,
        [[play.customer_id for play in played], [play.product_id for play in played]],
    )
    orders: dict[tuple[str, str], list[str]] = {}
    for customer_id, product_id, order_id in rows:
        orders.setdefault((customer_id, product_id), []).append(order_id)
    return orders


def _play(desk: Desk, order_id: str, play: Played) -> bool:
    entitlement = desk.entitlements[order_id]
    at = min(play.started_at, desk.now)  # a player's clock may run ahead of ours
    if entitlement.first_played_at or not entitlement.watchable_at(at):
        return False
    started = replace(entitlement, first_played_at=at)
    if entitlement.kind is PriceKind.RENTAL:
        started = replace(started, ends_at=end_after_first_play(entitlement.ends_at, at))
        desk.put(started)
        desk.tell_of_order("billing.entitlement.changed", order_id, facts.of_entitlement(started))
    desk.put(started)
    return True
