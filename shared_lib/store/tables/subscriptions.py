"""Subscriptions and what a customer may watch."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import EntitlementStatus
from shared_lib.domain.period import Unit
from shared_lib.domain.subscription import LIVE, SubscriptionStatus
from shared_lib.store.tables.columns import among, flag, instant, minor, number, one_of, text


class SubscriptionRow(SQLModel, table=True):
    """The root of its orders and payments: locked first. `next_action_at` is when the renewal tick looks at it."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        one_of("subscriptions", "status", SubscriptionStatus),
        one_of("subscriptions", "interval_unit", Unit),
        CheckConstraint("period_start < period_end", name="subscriptions_period_forward"),
        Index("subscriptions_one_live_per_product", "customer_id", "product_id", unique=True,
              postgresql_where=sql(among(LIVE))),
        Index("subscriptions_by_customer", "customer_id", "id"),
        Index("subscriptions_due", "next_action_at", "id", postgresql_where=sql("next_action_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "80"}},  # renewals update in place
    )  # fmt: skip
    id: str = text(key=True)
    customer_id: str = text()
    product_id: str = text()  # of the price
    product_title: str = text()
    price_id: str = text(to="prices.id")
    status: str = text()
    amount_minor: int = minor()
    currency: str = text()
    interval_unit: str = text()
    interval_count: int = number()
    time_zone: str = text()
    provider: str = text()
    auto_renew: bool = flag(default="true")
    auto_renew_changes: int = number(default="0")  # of its customer, since it began
    auto_renew_told: bool = flag(default="true")  # what the last mail about it said
    auto_renew_changed_at: datetime | None = instant(null=True)  # when its customer changed it last
    trial_days: int = number(default="0")
    anchor_at: datetime | None = instant(null=True)
    anchor_n: int = number(default="0")
    period_n: int = number(default="0")
    period_start: datetime | None = instant(null=True)
    period_end: datetime | None = instant(null=True)
    payment_method_id: str | None = text(null=True, to="payment_methods.id")
    open_order_id: str | None = text(null=True)
    past_due_at: datetime | None = instant(null=True)
    next_retry_at: datetime | None = instant(null=True)
    next_action_at: datetime | None = instant(null=True)
    version: int = number(default="0")
    created_at: datetime = instant()


class TrialRow(SQLModel, table=True):
    """One trial of a plan per identity: `customer:` and the id, or `card:` and its key. The first order to write it has it."""

    __tablename__ = "trials"
    __table_args__ = (Index("trials_by_order", "order_id"),)
    product_id: str = text(key=True)
    identity: str = text(key=True)
    customer_id: str = text()
    order_id: str = text()
    used_at: datetime = instant()


class EntitlementRow(SQLModel, table=True):
    """Access to a product for a window, with the order that paid for it: exactly one per order."""

    __tablename__ = "entitlements"
    __table_args__ = (
        one_of("entitlements", "status", EntitlementStatus),
        one_of("entitlements", "kind", PriceKind),
        Index("entitlements_one_per_order", "order_id", unique=True),
        Index("entitlements_by_customer", "customer_id", "product_id"),
    )
    id: str = text(key=True)
    customer_id: str = text()
    product_id: str = text()  # of the price
    order_id: str = text(to="orders.id")
    subscription_id: str | None = text(null=True)
    kind: str = text()
    status: str = text()
    starts_at: datetime = instant()
    ends_at: datetime | None = instant(null=True)
    first_played_at: datetime | None = instant(null=True)
