"""Orders, the attempts to collect them, what went back, and the ledger that remembers all of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.ledger import EntrySource
from shared_lib.domain.order import BillingReason, CancelReason, OrderStatus
from shared_lib.domain.payment import LIVE, DeclineKind, PaymentFlow, PaymentStatus
from shared_lib.domain.refund import RefundAccess, RefundStatus
from shared_lib.store.tables.columns import among, flag, instant, minor, number, one_of, text

# Statuses in which a worker must come back at next_check_at, without a caller.
_WATCHED_REFUNDS = frozenset(
    {RefundStatus.REQUESTED, RefundStatus.SENDING, RefundStatus.PENDING, RefundStatus.UNKNOWN}
)


class OrderRow(SQLModel, table=True):
    """What was asked for, at the catalog's price of that moment. `version` numbers its events.

    `holds`: the order has the one place of its customer for the product and kind. A flag, and not the status, so that an
    order can change its status without touching an index.
    """

    __tablename__ = "orders"
    __table_args__ = (
        one_of("orders", "status", OrderStatus),
        one_of("orders", "billing_reason", BillingReason),
        one_of("orders", "kind", PriceKind),
        one_of("orders", "cancel_reason", CancelReason),
        CheckConstraint("amount_minor >= 0", name="orders_amount_not_negative"),
        CheckConstraint(
            "(period_n IS NULL) = (period_start IS NULL) AND (period_n IS NULL) = (period_end IS NULL)",
            name="orders_period_whole_or_absent",
        ),
        Index("orders_by_customer", "customer_id", "id"),
        Index("orders_one_per_period", "subscription_id", "period_n", unique=True,
              postgresql_where=sql("period_n IS NOT NULL")),
        # Owned once: of two orders for the same thing, be they opened or paid at the same instant, one has the place.
        Index("orders_one_holder", "customer_id", "product_id", "kind", unique=True, postgresql_where=sql("holds")),
        {"postgresql_with": {"fillfactor": "50"}},  # every order is written twice, the second time in place
    )  # fmt: skip
    # Beside these: orders_periods_do_not_overlap, an exclusion constraint, see the first migration.
    id: str = text(key=True)
    customer_id: str = text()
    price_id: str = text(to="prices.id")
    product_id: str = text()  # of the price
    product_title: str = text()
    kind: str = text()
    billing_reason: str = text()
    status: str = text()
    amount_minor: int = minor()
    currency: str = text()
    provider: str = text()
    return_url: str = text()
    subscription_id: str | None = text(null=True, to="subscriptions.id")
    period_n: int | None = number(null=True)
    period_start: datetime | None = instant(null=True)
    period_end: datetime | None = instant(null=True)
    full_period_end: datetime | None = instant(null=True)
    paid_payment_id: str | None = text(null=True)
    paid_at: datetime | None = instant(null=True)
    holds: bool = flag(default="false")
    created_at: datetime = instant()
    expires_at: datetime = instant()
    version: int = number(default="0")
    cancel_reason: str | None = text(null=True)


class PaymentRow(SQLModel, table=True):
    """One attempt to collect one order. `surplus`: the order needs no money of it; what it captures goes back."""

    __tablename__ = "payments"
    __table_args__ = (
        one_of("payments", "status", PaymentStatus),
        one_of("payments", "flow", PaymentFlow),
        one_of("payments", "decline_kind", DeclineKind),
        CheckConstraint("amount_minor >= 0", name="payments_amount_not_negative"),
        # Two refunds can never exceed what was taken: the reservation is checked by the database.
        CheckConstraint(
            "refund_reserved_minor >= 0 AND refund_reserved_minor <= captured_minor",
            name="payments_refunds_within_captured",
        ),
        # No order is charged twice: at most one payment of an order may be live or have succeeded.
        Index("payments_one_live_per_order", "order_id", unique=True,
              postgresql_where=sql(f"NOT surplus AND {among(LIVE | {PaymentStatus.SUCCEEDED})}")),
        Index("payments_by_order", "order_id", "attempt"),
        Index("payments_one_per_provider_ref", "provider", "provider_ref", unique=True,
              postgresql_where=sql("provider_ref IS NOT NULL")),
        Index("payments_to_check", "next_check_at", postgresql_where=sql(among(LIVE))),
        Index("payments_with_surplus", "id", postgresql_where=sql("surplus OR captured_minor > amount_minor")),
    )  # fmt: skip
    id: str = text(key=True)
    order_id: str = text(to="orders.id")
    provider: str = text()
    flow: str = text()
    status: str = text()
    surplus: bool = flag(default="false")
    attempt: int = number()
    amount_minor: int = minor()
    currency: str = text()
    payment_method_id: str | None = text(null=True, to="payment_methods.id")
    provider_ref: str | None = text(null=True)
    provider_capture_ref: str | None = text(null=True)
    checkout_url: str | None = text(null=True)
    decline_kind: str | None = text(null=True)
    decline_reason: str | None = text(null=True)
    captured_minor: int = minor(default="0")
    refund_reserved_minor: int = minor(default="0")
    refunded_minor: int = minor(default="0")
    fence: int = number(default="0")
    lease_until: datetime | None = instant(null=True)
    first_sent_at: datetime | None = instant(null=True)
    checks: int = number(default="0")
    next_check_at: datetime | None = instant(null=True)
    created_at: datetime = instant()
    last_failure: str | None = text(null=True)  # of asking the provider; for `boxoffice explain`
    last_failure_at: datetime | None = instant(null=True)


class RefundRow(SQLModel, table=True):
    """One return of part or all of one payment."""

    __tablename__ = "refunds"
    __table_args__ = (
        one_of("refunds", "status", RefundStatus),
        one_of("refunds", "access", RefundAccess),
        CheckConstraint("amount_minor > 0", name="refunds_amount_positive"),
        # What needs a second person is not sent by the first one; they may only take it back.
        CheckConstraint(
            "decided_by IS NULL OR decided_by <> requested_by OR status = 'rejected'",
            name="refunds_approved_by_another",
        ),
        Index("refunds_by_order", "order_id"),
        Index("refunds_by_payment", "payment_id"),
        # What the provider lists is adopted once.
        Index("refunds_one_per_provider_ref", "payment_id", "provider_ref", unique=True,
              postgresql_where=sql("provider_ref IS NOT NULL")),
        Index("refunds_to_check", "next_check_at", postgresql_where=sql(among(_WATCHED_REFUNDS))),
    )  # fmt: skip
    id: str = text(key=True)
    order_id: str = text(to="orders.id")
    payment_id: str = text(to="payments.id")
    status: str = text()
    amount_minor: int = minor()
    currency: str = text()
    reason: str = text()
    access: str = text()
    surplus: bool = flag(default="false")
    requested_by: str = text()
    provider_ref: str | None = text(null=True)
    failure_reason: str | None = text(null=True)
    fence: int = number(default="0")
    lease_until: datetime | None = instant(null=True)
    first_sent_at: datetime | None = instant(null=True)
    checks: int = number(default="0")
    next_check_at: datetime | None = instant(null=True)
    decided_by: str | None = text(null=True)
    decided_at: datetime | None = instant(null=True)
    created_at: datetime = instant()
    last_failure: str | None = text(null=True)  # of asking the provider; for `boxoffice explain`
    last_failure_at: datetime | None = instant(null=True)


class LedgerEntryRow(SQLModel, table=True):
    """Only ever added to: UPDATE, DELETE and TRUNCATE are refused by triggers."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        one_of("ledger_entries", "source_kind", EntrySource),
        CheckConstraint("amount_minor > 0", name="ledger_entries_amount_positive"),
        CheckConstraint("debit <> credit", name="ledger_entries_two_accounts"),
        Index("ledger_entries_by_order", "order_id"),
    )
    source_kind: str = text(key=True)
    source_id: str = text(key=True)
    leg: str = text(key=True)
    order_id: str = text()
    debit: str = text()
    credit: str = text()
    amount_minor: int = minor()
    currency: str = text()
    entered_at: datetime = instant()
