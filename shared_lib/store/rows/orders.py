"""Orders as rows."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.money import Money
from shared_lib.domain.order import BillingReason, CancelReason, Order, OrderStatus
from shared_lib.domain.values import restored
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.rows.locking import Locking
from shared_lib.store.transaction import Row, Transaction

ORDERS = Table(
    "orders",
    {
        "id": "text",
        "customer_id": "text",
        "price_id": "text",
        "product_id": "text",
        "product_title": "text",
        "kind": "text",
        "billing_reason": "text",
        "status": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "provider": "text",
        "return_url": "text",
        "created_at": "timestamptz",
        "expires_at": "timestamptz",
        "subscription_id": "text",
        "period_n": "integer",
        "period_start": "timestamptz",
        "period_end": "timestamptz",
        "paid_payment_id": "text",
        "paid_at": "timestamptz",
        "holds": "boolean",
        "version": "integer",
        "cancel_reason": "text",
        "full_period_end": "timestamptz",
    },
)


def order_of(row: Row) -> Order:
    return restored(
        Order,
        {
            "id": row[0],
            "customer_id": row[1],
            "price_id": row[2],
            "product_id": row[3],
            "product_title": row[4],
            "kind": PriceKind(row[5]),
            "billing_reason": BillingReason(row[6]),
            "status": OrderStatus(row[7]),
            "amount": Money(row[8], row[9]),
            "provider": row[10],
            "return_url": row[11],
            "created_at": row[12],
            "expires_at": row[13],
            "subscription_id": row[14],
            "period_n": row[15],
            "period_start": row[16],
            "period_end": row[17],
            "paid_payment_id": row[18],
            "paid_at": row[19],
            "holds": row[20],
            "version": row[21],
            "cancel_reason": CancelReason(row[22]) if row[22] else None,
            "full_period_end": row[23],
        },
    )


def order_row(order: Order) -> Row:
    return (
        order.id,
        order.customer_id,
        order.price_id,
        order.product_id,
        order.product_title,
        order.kind,
        order.billing_reason,
        order.status,
        order.amount.minor,
        order.amount.currency,
        order.provider,
        order.return_url,
        order.created_at,
        order.expires_at,
        order.subscription_id,
        order.period_n,
        order.period_start,
        order.period_end,
        order.paid_payment_id,
        order.paid_at,
        order.holds,
        order.version,
        order.cancel_reason,
        order.full_period_end,
    )


async def lock_orders(tx: Transaction, ids: Sequence[str]) -> Locking[Order]:
    """Lock orders in id order. Their subscriptions, if any, were locked before."""
    if not ids:
        return Locking(None, order_of)
    question = await tx.ask(
        f"SELECT {ORDERS.select} FROM orders WHERE id = ANY(%s::text[]) ORDER BY id FOR UPDATE",
        [array_literal(ids)],
    )
    return Locking(question, order_of)


def vacate(tx: Transaction, ids: Sequence[str]) -> None:
    """Take their places from orders that were not locked. Put off; locked in id order, as everywhere."""
    if ids:
        tx.later(
            """
            UPDATE orders SET holds = false
            FROM (SELECT id FROM orders WHERE id = ANY(%s::text[]) AND holds ORDER BY id FOR UPDATE) AS gone
            WHERE orders.id = gone.id
            """,
            [array_literal(ids)],
        )
