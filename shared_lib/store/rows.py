"""The tables of the values that are bought, paid and given, and how their rows are locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from shared_lib.domain.catalog import Price
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.store.bulk import array_literal
from shared_lib.store.codec import Codec
from shared_lib.store.transaction import Question, Transaction


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Value = TypeVar("Value", bound=Identified)

SUBSCRIPTIONS: Final = Codec(Subscription, "subscriptions")
ORDERS: Final = Codec(Order, "orders")
PAYMENTS: Final = Codec(Payment, "payments")
REFUNDS: Final = Codec(Refund, "refunds")
ENTITLEMENTS: Final = Codec(Entitlement, "entitlements")
PRICES: Final = Codec(Price, "prices", {"product_title": "products.title"})
"""Read from prices JOIN products. Prices are immutable but for the end of their sale, so they are never locked."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[Value]):
    """Rows on their way: the questions of several levels travel together. `question` None: there is none to ask."""

    codec: Codec[Value]
    question: Question | None

    async def values(self) -> dict[str, Value]:
        """The values by id."""
        if self.question is None:
            return {}
        of = self.codec.of
        return {value.id: value for value in map(of, await self.question.rows())}


async def lock_subscriptions(tx: Transaction, ids: Sequence[str]) -> Asked[Subscription]:
    """Lock subscriptions in id order: the root of everything below, so always first."""
    return await _ask(tx, SUBSCRIPTIONS, "id = ANY(%s::text[]) ORDER BY id FOR UPDATE", ids)


async def lock_due_subscriptions(tx: Transaction, ids: Sequence[str]) -> Asked[Subscription]:
    """The same for those whose time has come, without those that another transaction has locked."""
    due = "id = ANY(%s::text[]) AND next_action_at <= %s ORDER BY id FOR UPDATE SKIP LOCKED"
    return await _ask(tx, SUBSCRIPTIONS, due, ids, await tx.clock())


async def lock_orders(tx: Transaction, ids: Sequence[str]) -> Asked[Order]:
    """Lock orders in id order. Their subscriptions, if any, were locked before."""
    return await _ask(tx, ORDERS, "id = ANY(%s::text[]) ORDER BY id FOR UPDATE", ids)


async def lock_payments_of(tx: Transaction, order_ids: Sequence[str]) -> Asked[Payment]:
    """Lock every payment of these orders, in id order. The orders were locked before."""
    return await _ask(tx, PAYMENTS, "order_id = ANY(%s::text[]) ORDER BY id FOR UPDATE", order_ids)


async def lock_refunds_of(tx: Transaction, order_ids: Sequence[str]) -> Asked[Refund]:
    """Lock every refund of these orders, in id order: the last level, after their payments."""
    return await _ask(tx, REFUNDS, "order_id = ANY(%s::text[]) ORDER BY id FOR UPDATE", order_ids)


async def ask_entitlements_of(tx: Transaction, order_ids: Sequence[str]) -> Asked[Entitlement]:
    """Entitlements are locked by their order, so reading them is enough."""
    return await _ask(tx, ENTITLEMENTS, "order_id = ANY(%s::text[])", order_ids)


async def _ask(
    tx: Transaction, codec: Codec[Value], condition: str, ids: Sequence[str], *more: object
) -> Asked[Value]:
    if not ids:
        return Asked(codec, None)
    sql = f"SELECT {codec.select} FROM {codec.table.name} WHERE {condition}"
    return Asked(codec, await tx.ask(sql, [array_literal(ids), *more]))


def vacate(tx: Transaction, ids: Sequence[str]) -> None:
    """Queue: orders that were not locked leave their places. They are locked in id order, as everywhere."""
    if ids:
        tx.later(
            """
            UPDATE orders SET holds = false
            FROM (SELECT id FROM orders WHERE id = ANY(%s::text[]) AND holds ORDER BY id FOR UPDATE) AS gone
            WHERE orders.id = gone.id
            """,
            [array_literal(ids)],
        )


async def sellable_prices(tx: Transaction) -> list[Price]:
    """What may be bought now."""
    rows = await tx.fetch(
        f"""
        SELECT {PRICES.select} FROM prices JOIN products ON products.id = prices.product_id
        WHERE sellable_from <= %s AND (sellable_until IS NULL OR sellable_until > %s) ORDER BY title, prices.id
        """,
        [now := await tx.clock(), now],
    )
    return [PRICES.of(row) for row in rows]
