"""Rows and values say the same: what is restored from a row is what the class itself would have made of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared_lib.domain.money import Money
from shared_lib.store.rows.orders import ORDERS, order_of, order_row
from shared_lib.store.rows.payments import PAYMENTS, payment_of, payment_row
from shared_lib.store.rows.subscriptions import SUBSCRIPTIONS, subscription_of, subscription_row

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = {
    "kind": "subscription", "billing_reason": "subscription_cycle", "flow": "charge", "decline_kind": "soft",
    "interval_unit": "month", "currency": "EUR", "time_zone": "Europe/Berlin", "cancel_reason": "trial_used",
}  # fmt: skip
STATUS = {"orders": "paid", "payments": "declined", "subscriptions": "past_due"}


def full_row(table: Any) -> tuple[Any, ...]:
    """No two columns alike, none of them empty."""

    def filled(n: int, column: str, kind: str) -> Any:
        if column == "status":
            return STATUS[table.name]
        if column in WORDS:
            return WORDS[column]
        return {"text": f"{column}_{n}", "timestamptz": NOW + timedelta(days=n), "boolean": True}.get(
            kind, n + 1
        )

    return tuple(filled(n, column, kind) for n, (column, kind) in enumerate(table.columns.items()))


@pytest.mark.parametrize(
    ("table", "value_of", "row_of"),
    [
        (ORDERS, order_of, order_row),
        (PAYMENTS, payment_of, payment_row),
        (SUBSCRIPTIONS, subscription_of, subscription_row),
    ],
)
def test_a_row_becomes_a_whole_value_and_the_same_row_again(table: Any, value_of: Any, row_of: Any) -> None:
    row = full_row(table)

    value = value_of(row)

    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    assert vars(value) == fields
    assert type(value)(**fields) == value
    assert isinstance(value.amount, Money)
    assert row_of(value) == row
