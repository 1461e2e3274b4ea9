"""The tables of the values that are bought, paid and given, and the locks on their rows.

Locked from the root, so that no two transactions wait for each other: subscriptions, orders, payments, refunds, each level
in id order. An entitlement is locked by its order, so reading it is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared_lib.domain.catalog import Price
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.store.bulk import array_literal
from shared_lib.store.codec import Codec
from shared_lib.store.transaction import Transaction

SUBSCRIPTIONS: Final = Codec(Subscription, "subscriptions")
ORDERS: Final = Codec(Order, "orders")
PAYMENTS: Final = Codec(Payment, "payments")
REFUNDS: Final = Codec(Refund, "refunds")
ENTITLEMENTS: Final = Codec(Entitlement, "entitlements")

LEDGER: Final = Codec(
    LedgerEntry, "ledger_entries", key=("source_kind", "source_id", "leg"), stamp="entered_at"
)
"""Rows are only ever added. A second entry for the same leg of the same source is refused by the key."""

PRICES: Final = Codec(Price, "prices", {"product_title": "products.title"})
"""Read from prices JOIN products. Prices are immutable but for the end of their sale, so they are never locked."""

# Conditions for `Codec.ask`.
LOCK: Final = "id = ANY(%s::text[]) ORDER BY id FOR UPDATE"
LOCK_DUE: Final = "id = ANY(%s::text[]) AND next_action_at <= %s ORDER BY id FOR UPDATE SKIP LOCKED"
LOCK_OF_ORDERS: Final = "order_id = ANY(%s::text[]) ORDER BY id FOR UPDATE"
OF_ORDERS: Final = "order_id = ANY(%s::text[])"


def vacate(tx: Transaction, order_ids: Sequence[str]) -> None:
    """Orders that were not locked leave their places. Queued; they are locked in id order, as everywhere."""
    tx.later(
        """
        UPDATE orders SET holds = false
        FROM (SELECT id FROM orders WHERE id = ANY(%s::text[]) AND holds ORDER BY id FOR UPDATE) AS gone
        WHERE orders.id = gone.id
        """,
        [array_literal(order_ids)],
    )
