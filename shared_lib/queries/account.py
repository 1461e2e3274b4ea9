"""What a customer may see: one consistent state of the database each, and no locks."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.catalog import Price
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.honored import RENEWAL_SLACK, Renewal, honored
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import Value
from shared_lib.store.rows import (
    ENTITLEMENTS,
    ORDERS,
    PAYMENTS,
    PRICES,
    REFUNDS,
    SUBSCRIPTIONS,
)
from shared_lib.store.transaction import Row, Transaction


class Ask(Value, kw_only=True):
    """Which of a customer's things. `id` None: all of them. `customer_id` None: an operator asks, for those of any customer."""

    customer_id: str | None
    id: str | None = None
    after: str | None = None
    limit: int = 50


class ShownOrder(Value, kw_only=True):
    """An order with the payment that matters now: the one that paid it, else the latest."""

    order: Order
    payment: Payment | None


class ShownSubscription(Value, kw_only=True):
    """A subscription with the page on which its open period can be paid now."""

    subscription: Subscription
    checkout_url: str | None


# Status and version: another one whenever something was committed about the order.
OrderVersion = tuple[str, int]


class ShownMethod(Value, kw_only=True):
    id: str
    provider: str
    brand: str | None
    last4: str | None
    expires: str | None


async def orders(tx: Transaction, ask: Ask) -> list[ShownOrder]:
    """Newest first; `after` is the last id of the page before."""
    whose, values = _whose("orders", ask)
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, {PAYMENTS.select} FROM orders
        LEFT JOIN LATERAL (
            SELECT * FROM payments WHERE order_id = orders.id
            ORDER BY (id = orders.paid_payment_id) DESC NULLS LAST, attempt DESC LIMIT 1
        ) AS payments ON true
        WHERE {whose} ORDER BY orders.id DESC LIMIT %s
        """,
        [*values, ask.limit],
    )
    return [
        ShownOrder(order=ORDERS.of(row[: ORDERS.width]), payment=_payment(row[ORDERS.width :]))
        for row in rows
    ]


def _payment(row: Row) -> Payment | None:
    """None for an order without a payment, whose columns are empty."""
    return PAYMENTS.of(row) if any(row) else None


async def order_versions(tx: Transaction, order_ids: Sequence[str]) -> dict[str, OrderVersion]:
    """The cheapest question of long polls: has anything happened to these orders?

    Whose they are was asked before.
    """
    rows = await tx.fetch("SELECT id, status, version FROM orders WHERE id = ANY(%s)", [list(order_ids)])
    return {id_: (status, version) for id_, status, version in rows}


async def subscriptions(tx: Transaction, ask: Ask) -> list[ShownSubscription]:
    whose, values = _whose("subscriptions", ask)
    rows = await tx.fetch(
        f"""
        SELECT {SUBSCRIPTIONS.select}, (
            SELECT checkout_url FROM payments WHERE order_id = open_order_id AND NOT surplus
              AND status IN ('created', 'sending', 'pending', 'action_required', 'unknown')
        ) FROM subscriptions
        WHERE {whose} AND status NOT IN ('incomplete', 'incomplete_expired')
        ORDER BY id DESC LIMIT %s
        """,
        [*values, ask.limit],
    )
    return [
        ShownSubscription(subscription=SUBSCRIPTIONS.of(tuple(subscription)), checkout_url=checkout_url)
        for *subscription, checkout_url in rows
    ]


async def refunds(tx: Transaction, ask: Ask) -> list[Refund]:
    rows = await tx.fetch(
        f"""
        SELECT {REFUNDS.select} FROM refunds JOIN orders ON orders.id = refunds.order_id
        WHERE refunds.id = %s AND (%s::text IS NULL OR orders.customer_id = %s)
        """,
        [ask.id, ask.customer_id, ask.customer_id],
    )
    return [REFUNDS.of(row) for row in rows]


async def entitlements(tx: Transaction, ask: Ask) -> list[Entitlement]:
    """What may be watched now. A subscription that is being renewed, or in its grace, is still watched.

    What a refund is about to end is not: access rests from the request on, and is back should the refund fail.
    """
    now = await tx.clock()
    rows = await tx.fetch(
        f"""
        SELECT {ENTITLEMENTS.select}, s.status, s.auto_renew, s.past_due_at, s.period_n, o.period_n
        FROM entitlements JOIN orders o ON o.id = entitlements.order_id
        LEFT JOIN subscriptions s ON s.id = entitlements.subscription_id
        WHERE entitlements.customer_id = %s AND entitlements.status = 'active' AND entitlements.starts_at <= %s
          AND (entitlements.ends_at IS NULL OR entitlements.ends_at > %s OR s.past_due_at > %s)
          AND NOT EXISTS (SELECT FROM refunds r WHERE r.order_id = entitlements.order_id
                          AND r.access = 'end_now' AND NOT r.surplus
                          AND r.status IN ('requested', 'sending', 'pending', 'unknown'))
        ORDER BY entitlements.id DESC
        """,
        [ask.customer_id, now, now - RENEWAL_SLACK, now - RENEWAL_SLACK],
    )
    found = [_honored(row) for row in rows]
    return [entitlement for entitlement in found if entitlement.watchable_at(tx.now)]


def _honored(row: Row) -> Entitlement:
    status, auto_renew, past_due_at, period_n, paid_n = row[ENTITLEMENTS.width :]
    renewal = Renewal(SubscriptionStatus(status), auto_renew, past_due_at, period_n) if status else None
    return honored(ENTITLEMENTS.of(row[: ENTITLEMENTS.width]), paid_n, renewal)


async def payment_methods(tx: Transaction, ask: Ask) -> list[ShownMethod]:
    """What may still be charged: neither forgotten nor refused for good."""
    rows = await tx.fetch(
        """
        SELECT id, provider, brand, last4, expires FROM payment_methods
        WHERE customer_id = %s AND usable AND (%s::text IS NULL OR id = %s) ORDER BY id DESC
        """,
        [ask.customer_id, ask.id, ask.id],
    )
    return [
        ShownMethod(id=id_, provider=provider, brand=brand, last4=last4, expires=expires)
        for id_, provider, brand, last4, expires in rows
    ]


async def catalog(tx: Transaction, _: None) -> list[Price]:
    """What may be bought now."""
    now = await tx.clock()
    rows = await tx.fetch(
        f"""
        SELECT {PRICES.select} FROM prices JOIN products ON products.id = prices.product_id
        WHERE sellable_from <= %s AND (sellable_until IS NULL OR sellable_until > %s) ORDER BY title, prices.id
        """,
        [now, now],
    )
    return [PRICES.of(row) for row in rows]


def _whose(table: str, ask: Ask) -> tuple[str, list[str]]:
    """The condition of a read, with its values. Each is bound to the customer; only an operator's is not.

    What is not asked for is left out of the text. `$1 IS NULL OR id = $1` fits no index, so the server would plan every call again.
    """
    asked = (
        (f"{table}.customer_id = %s", ask.customer_id),
        (f"{table}.id = %s", ask.id),
        (f"{table}.id < %s", ask.after),
    )
    given = [(condition, value) for condition, value in asked if value is not None]
    return " AND ".join(condition for condition, _ in given) or "true", [value for _, value in given]
