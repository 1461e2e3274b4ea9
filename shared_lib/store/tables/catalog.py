"""What is sold, to whom, and how they pay."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.period import Unit
from shared_lib.store.tables.columns import flag, instant, minor, number, one_of, text


class CustomerRow(SQLModel, table=True):
    """Whom to write to, and on whose clock periods are counted. The id is the `sub` of the Auth service."""

    __tablename__ = "customers"
    __table_args__ = (Index("customers_by_email", sql("lower(email)")),)
    id: str = text(key=True)
    email: str | None = text(null=True)
    locale: str = text(default="en")
    time_zone: str = text(default="UTC")
    updated_at: datetime = instant()


class ProductRow(SQLModel, table=True):
    """A title, or a plan."""

    __tablename__ = "products"
    id: str = text(key=True)
    title: str = text()
    created_at: datetime = instant()


class PriceRow(SQLModel, table=True):
    """Immutable: a change of price is a new row and an end to the old one's sellable window."""

    __tablename__ = "prices"
    __table_args__ = (
        one_of("prices", "kind", PriceKind),
        one_of("prices", "interval_unit", Unit),
        CheckConstraint("amount_minor >= 0", name="prices_amount_not_negative"),
        CheckConstraint(
            "(kind = 'subscription') = (interval_unit IS NOT NULL AND interval_count IS NOT NULL)",
            name="prices_interval_iff_subscription",
        ),
        CheckConstraint("trial_days = 0 OR kind = 'subscription'", name="prices_trial_only_subscription"),
        Index("prices_by_product", "product_id"),
    )
    id: str = text(key=True)
    product_id: str = text(to="products.id")
    kind: str = text()
    amount_minor: int = minor()
    currency: str = text()
    interval_unit: str | None = text(null=True)
    interval_count: int | None = number(null=True)
    trial_days: int = number(default="0")
    sellable_from: datetime = instant()
    sellable_until: datetime | None = instant(null=True)


class PaymentMethodRow(SQLModel, table=True):
    """A provider's token with what may be shown of it. Never card data."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        Index("payment_methods_by_customer", "customer_id", "id"),
        Index("payment_methods_one_token", "provider", "provider_ref", unique=True),
    )
    id: str = text(key=True)
    customer_id: str = text()
    provider: str = text()
    provider_ref: str = text()
    provider_customer_ref: str | None = text(null=True)
    brand: str | None = text(null=True)
    last4: str | None = text(null=True)
    expires: str | None = text(null=True)
    card_key: str | None = text(
        null=True
    )  # keyed hash of the provider's fingerprint: the same card, the same key
    usable: bool = flag(default="true")
    created_at: datetime = instant()
    deleted_at: datetime | None = instant(null=True)
