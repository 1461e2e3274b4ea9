"""Subscriptions and entitlements as rows."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus
from shared_lib.domain.money import Money
from shared_lib.domain.period import Interval, Unit
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import restored
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.rows.locking import Locking
from shared_lib.store.transaction import Row, Transaction

SUBSCRIPTIONS = Table(
    "subscriptions",
    {
        "id": "text",
        "customer_id": "text",
        "product_id": "text",
        "product_title": "text",
        "price_id": "text",
        "status": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "interval_unit": "text",
        "interval_count": "integer",
        "time_zone": "text",
        "provider": "text",
        "auto_renew": "boolean",
        "trial_days": "integer",
        "created_at": "timestamptz",
        "anchor_at": "timestamptz",
        "anchor_n": "integer",
        "period_n": "integer",
        "period_start": "timestamptz",
        "period_end": "timestamptz",
        "payment_method_id": "text",
        "open_order_id": "text",
        "past_due_at": "timestamptz",
        "next_retry_at": "timestamptz",
        "next_action_at": "timestamptz",
        "version": "integer",
        "auto_renew_changes": "integer",
        "auto_renew_told": "boolean",
    },
)

ENTITLEMENTS = Table(
    "entitlements",
    {
        "id": "text",
        "customer_id": "text",
        "product_id": "text",
        "order_id": "text",
        "subscription_id": "text",
        "kind": "text",
        "status": "text",
        "starts_at": "timestamptz",
        "ends_at": "timestamptz",
        "first_played_at": "timestamptz",
    },
)


def subscription_of(row: Row) -> Subscription:
    return restored(
        Subscription,
        {
            "id": row[0],
            "customer_id": row[1],
            "product_id": row[2],
            "product_title": row[3],
            "price_id": row[4],
            "status": SubscriptionStatus(row[5]),
            "amount": Money(row[6], row[7]),
            "interval": Interval(Unit(row[8]), row[9]),
            "time_zone": row[10],
            "provider": row[11],
            "auto_renew": row[12],
            "trial_days": row[13],
            "created_at": row[14],
            "anchor_at": row[15],
            "anchor_n": row[16],
            "period_n": row[17],
            "period_start": row[18],
            "period_end": row[19],
            "payment_method_id": row[20],
            "open_order_id": row[21],
            "past_due_at": row[22],
            "next_retry_at": row[23],
            "next_action_at": row[24],
            "version": row[25],
            "auto_renew_changes": row[26],
            "auto_renew_told": row[27],
        },
    )


def subscription_row(subscription: Subscription) -> Row:
    return (
        subscription.id,
        subscription.customer_id,
        subscription.product_id,
        subscription.product_title,
        subscription.price_id,
        subscription.status,
        subscription.amount.minor,
        subscription.amount.currency,
        subscription.interval.unit,
        subscription.interval.count,
        subscription.time_zone,
        subscription.provider,
        subscription.auto_renew,
        subscription.trial_days,
        subscription.created_at,
        subscription.anchor_at,
        subscription.anchor_n,
        subscription.period_n,
        subscription.period_start,
        subscription.period_end,
        subscription.payment_method_id,
        subscription.open_order_id,
        subscription.past_due_at,
        subscription.next_retry_at,
        subscription.next_action_at,
        subscription.version,
        subscription.auto_renew_changes,
        subscription.auto_renew_told,
    )


def entitlement_of(row: Row) -> Entitlement:
    return Entitlement(
        id=row[0],
        customer_id=row[1],
        product_id=row[2],
        order_id=row[3],
        subscription_id=row[4],
        kind=PriceKind(row[5]),
        status=EntitlementStatus(row[6]),
        starts_at=row[7],
        ends_at=row[8],
        first_played_at=row[9],
    )


def entitlement_row(entitlement: Entitlement) -> Row:
    return (
        entitlement.id,
        entitlement.customer_id,
        entitlement.product_id,
        entitlement.order_id,
        entitlement.subscription_id,
        entitlement.kind,
        entitlement.status,
        entitlement.starts_at,
        entitlement.ends_at,
        entitlement.first_played_at,
    )


async def lock_subscriptions(tx: Transaction, ids: Sequence[str]) -> Locking[Subscription]:
    """Lock subscriptions in id order: the root of everything below, so always first."""
    if not ids:
        return Locking(None, subscription_of)
    question = await tx.ask(
        f"SELECT {SUBSCRIPTIONS.select} FROM subscriptions WHERE id = ANY(%s::text[]) ORDER BY id FOR UPDATE",
        [array_literal(ids)],
    )
    return Locking(question, subscription_of)
