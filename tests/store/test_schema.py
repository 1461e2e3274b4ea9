"""What the database itself promises to each of its users: asked in plain SQL, with none of our code between."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from infra.servers.access import role_url
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import EntitlementStatus
from shared_lib.domain.ledger import EntrySource
from shared_lib.domain.messages import InboxStatus, NotificationStatus, SetAsideKind
from shared_lib.domain.order import BillingReason, CancelReason, OrderStatus
from shared_lib.domain.payment import LIVE as LIVE_PAYMENTS
from shared_lib.domain.payment import DeclineKind, PaymentFlow, PaymentStatus
from shared_lib.domain.period import Unit
from shared_lib.domain.refund import RefundAccess, RefundStatus
from shared_lib.domain.subscription import LIVE as LIVE_SUBSCRIPTIONS
from shared_lib.domain.subscription import SubscriptionStatus
from shared_lib.processes import Role
from shared_lib.store import access
from shared_lib.store.migrate import differences, upgrade
from tests.kit.examples import DAY
from tests.store.row_writer import JULY, JUNE, MAY, RowWriter

GRANTS = Path(access.__file__).with_name("grants.sql")
COLUMNS: list[tuple[str, str, type[StrEnum]]] = [
    ("entitlements", "kind", PriceKind),
    ("entitlements", "status", EntitlementStatus),
    ("inbox", "status", InboxStatus),
    ("ledger_entries", "source_kind", EntrySource),
    ("notifications", "status", NotificationStatus),
    ("orders", "billing_reason", BillingReason),
    ("orders", "cancel_reason", CancelReason),
    ("orders", "kind", PriceKind),
    ("orders", "status", OrderStatus),
    ("payments", "decline_kind", DeclineKind),
    ("payments", "flow", PaymentFlow),
    ("payments", "status", PaymentStatus),
    ("prices", "interval_unit", Unit),
    ("prices", "kind", PriceKind),
    ("refunds", "access", RefundAccess),
    ("refunds", "status", RefundStatus),
    ("set_aside", "kind", SetAsideKind),
    ("subscriptions", "interval_unit", Unit),
    ("subscriptions", "status", SubscriptionStatus),
]


# --- The classes, the migrations and the domain say the same.


def test_the_migrated_database_is_what_the_tables_declare(database_url: str) -> None:
    assert differences(database_url) == []


def test_every_table_is_named_in_the_grants(database_url: str) -> None:
    """A table that is not is closed to every door; docs/roles.md has a row for each (tests/store/test_roles.py)."""
    with psycopg.connect(database_url) as db:
        tables = {
            name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
    assert tables <= set(re.findall(r"\w+", GRANTS.read_text()))


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    upgrade(role_url(database_url, Role.OWNER), test_clock=True)
    assert differences(database_url) == []


def test_each_closed_column_takes_the_words_of_its_enum_and_no_others(writer: RowWriter) -> None:
    definitions = writer.run(
        sql.SQL(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'c' AND conname LIKE '%%\\_known'"
        )
    )
    in_database = {name: set(re.findall(r"'(\w+)'::text", definition)) for name, definition in definitions}
    assert in_database == {f"{table}_{column}_known": set(words) for table, column, words in COLUMNS}


@pytest.mark.parametrize(
    ("index", "statuses"),
    [
        ("payments_one_live_per_order", LIVE_PAYMENTS | {PaymentStatus.SUCCEEDED}),
        ("payments_to_check", LIVE_PAYMENTS),
        (
            "refunds_to_check",
            {s for s in RefundStatus if s not in {"succeeded", "failed", "awaiting_approval", "rejected"}},
        ),
        ("subscriptions_one_live_per_product", LIVE_SUBSCRIPTIONS),
    ],
)
def test_each_partial_index_watches_the_statuses_it_is_for(
    writer: RowWriter, index: str, statuses: set[StrEnum]
) -> None:
    ((predicate,),) = writer.run(
        sql.SQL("SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = %s::regclass"), index
    )
    assert set(re.findall(r"'(\w+)'::text", predicate)) == set(statuses)


# --- The ledger is only ever added to.


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_entries SET amount_minor = 1",
        "UPDATE ledger_entries SET order_id = order_id",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "TRUNCATE ledger_entries CASCADE",
    ],
)
def test_the_ledger_refuses_every_change(writer: RowWriter, change: str) -> None:
    writer.entry()
    before = writer.run(sql.SQL("SELECT * FROM ledger_entries"))
    with pytest.raises(errors.RestrictViolation, match="append-only"):
        writer.run(sql.SQL(change))
    assert writer.run(sql.SQL("SELECT * FROM ledger_entries")) == before


def test_the_same_fact_is_entered_once(writer: RowWriter) -> None:
    writer.entry("pay_1")
    writer.entry("pay_2")
    with pytest.raises(errors.UniqueViolation):
        writer.entry("pay_1")


@pytest.mark.parametrize("wrong", [{"amount_minor": 0}, {"amount_minor": -1}, {"credit": "provider:sandbox"}])
def test_an_entry_moves_something_between_two_accounts(writer: RowWriter, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation):
        writer.entry(**wrong)


# --- A price never changes.


@pytest.mark.parametrize(
    "change",
    [
        "amount_minor = 1",
        "currency = 'USD'",
        "kind = 'purchase', interval_unit = NULL, interval_count = NULL",
        "interval_unit = 'year'",
        "interval_count = 3",
        "trial_days = 7",
        "sellable_from = now()",
        "id = 'prc_2'",
    ],
)
def test_a_price_refuses_to_be_changed(writer: RowWriter, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="immutable"):
        writer.run(sql.SQL(f"UPDATE prices SET {change}"))


def test_the_end_of_a_prices_sale_can_be_set_and_moved(writer: RowWriter) -> None:
    for until in (JUNE, JULY, None):
        writer.run(sql.SQL("UPDATE prices SET sellable_until = %s"), until)
        assert writer.run(sql.SQL("SELECT sellable_until FROM prices")) == [(until,)]


def test_only_a_subscription_has_an_interval_and_a_trial(writer: RowWriter) -> None:
    price = {"product_id": "prd_1", "amount_minor": 1, "currency": "EUR", "sellable_from": MAY}
    month = {"interval_unit": "month", "interval_count": 1}
    writer.add("prices", id="prc_2", kind="rental", **price)
    for wrong in ({"kind": "rental", **month}, {"kind": "subscription"}, {"kind": "rental", "trial_days": 7}):
        with pytest.raises(errors.CheckViolation):
            writer.add("prices", id="prc_3", **price, **wrong)


# --- One of each.


@pytest.mark.parametrize("first", sorted(LIVE_SUBSCRIPTIONS))
def test_a_customer_has_one_live_subscription_per_product(
    writer: RowWriter, first: SubscriptionStatus
) -> None:
    writer.subscription("cus_1", first)
    writer.subscription("cus_2", first)
    with pytest.raises(errors.UniqueViolation, match="subscriptions_one_live_per_product"):
        writer.subscription("cus_1", "active")


@pytest.mark.parametrize("first", sorted(set(SubscriptionStatus) - LIVE_SUBSCRIPTIONS))
def test_whoever_left_or_never_finished_may_subscribe_again(
    writer: RowWriter, first: SubscriptionStatus
) -> None:
    writer.subscription("cus_1", first)
    writer.subscription("cus_1", "active")


def test_an_order_grants_one_entitlement(writer: RowWriter) -> None:
    access = {"customer_id": "cus_1", "product_id": "prd_1", "kind": "purchase", "status": "active"}

    def grant(name: str, order: str) -> None:
        writer.add("entitlements", id=name, order_id=order, starts_at=MAY, **access)

    order = writer.order()
    grant("ent_1", order)
    grant("ent_2", writer.order())
    with pytest.raises(errors.UniqueViolation, match="entitlements_one_per_order"):
        grant("ent_3", order)


# --- The clock.


def test_the_clock_of_the_database_follows_the_test_clock(writer: RowWriter) -> None:
    ahead = sql.SQL("SELECT boxoffice_now() - now()")
    assert writer.run(ahead) == [(timedelta(0),)]
    writer.add("test_clock", one=True, ahead=40 * DAY)
    assert writer.run(ahead) == [(40 * DAY,)]
    writer.run(sql.SQL("UPDATE test_clock SET ahead = ahead + interval '2 hours'"))
    assert writer.run(ahead) == [(40 * DAY + timedelta(hours=2),)]
    with pytest.raises(errors.UniqueViolation):
        writer.add("test_clock", one=True, ahead=DAY)
    with pytest.raises(errors.CheckViolation):
        writer.add("test_clock", one=False, ahead=DAY)
    writer.run(sql.SQL("DELETE FROM test_clock"))
    assert writer.run(ahead) == [(timedelta(0),)]
