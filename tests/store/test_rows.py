"""Rows and values say the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import asdict
from sqlmodel import SQLModel

from shared_lib.domain.money import Money
from shared_lib.store import tables  # noqa: F401  # declares them
from shared_lib.store.codec import Codec
from shared_lib.store.outbox import OUTBOX
from shared_lib.store.rows import ENTITLEMENTS, LEDGER, ORDERS, PAYMENTS, PRICES, REFUNDS, SUBSCRIPTIONS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = {
    "kind": "subscription", "billing_reason": "subscription_cycle", "flow": "charge", "decline_kind": "soft",
    "interval_unit": "month", "currency": "EUR", "time_zone": "Europe/Berlin", "cancel_reason": "trial_used",
    "access": "shorten",
}  # fmt: skip
STATUS = {
    "orders": "paid", "payments": "declined", "subscriptions": "past_due", "refunds": "pending",
    "entitlements": "revoked",
}  # fmt: skip
NAMES = {"bigint": "BIGINT", "boolean": "BOOLEAN", "integer": "INTEGER", "jsonb": "JSONB", "smallint": "SMALLINT",
         "text": "TEXT", "timestamptz": "DATETIME"}  # fmt: skip
CODECS: list[Codec[Any]] = [ORDERS, PAYMENTS, SUBSCRIPTIONS, REFUNDS, ENTITLEMENTS]


def full_row(codec: Codec[Any]) -> tuple[Any, ...]:
    """No two columns alike, none of them empty."""
    table = codec.table

    def filled(n: int, column: str, kind: str) -> Any:
        if column == "status":
            return STATUS[table.name]
        if column in WORDS:
            return WORDS[column]
        return {"text": f"{column}_{n}", "timestamptz": NOW + timedelta(days=n), "boolean": True}.get(
            kind, n + 1
        )

    return tuple(filled(n, column, kind) for n, (column, kind) in enumerate(table.columns.items()))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.table.name)
def test_a_row_becomes_a_whole_value_and_the_same_row_again(codec: Codec[Any]) -> None:
    row = full_row(codec)

    value = codec.of(row)

    columns, fields = dict(zip(codec.table.columns, row, strict=True)), asdict(value)
    assert all(fields[name] == columns[name] for name in fields.keys() & columns.keys())
    assert codec is ENTITLEMENTS or isinstance(value.amount, Money)
    assert codec.row(value) == row


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.table.name)
def test_what_may_be_empty_is_empty_in_the_value(codec: Codec[Any]) -> None:
    columns = SQLModel.metadata.tables[codec.table.name].columns
    row = tuple(
        None if columns[column].nullable else value
        for column, value in zip(codec.table.columns, full_row(codec), strict=True)
    )
    assert codec.row(codec.of(row)) == row


def test_a_price_without_an_interval_is_read() -> None:
    row = ("prc_1", "prd_1", "Stalker", "rental", 399, "EUR", None, None, 0, NOW, None)
    assert PRICES.of(row).interval is None


def test_a_word_that_is_none_of_its_enum_is_refused() -> None:
    row = ["paidd" if value == "paid" else value for value in full_row(ORDERS)]
    with pytest.raises(ValueError, match="'paidd' is not a valid OrderStatus"):
        ORDERS.of(tuple(row))


@pytest.mark.parametrize(
    "table", [*(codec.table for codec in CODECS), LEDGER.table, OUTBOX], ids=lambda table: table.name
)
def test_the_columns_of_a_value_are_those_of_its_table(table: Any) -> None:
    """A column that a value lacks is one that the database fills."""
    declared = SQLModel.metadata.tables[table.name].columns
    types = {column.name: str(column.type.compile()).split("(")[0].split(" ")[0] for column in declared}
    assert {name: NAMES[kind] for name, kind in table.columns.items()}.items() <= types.items()
    missing = [declared[name] for name in types.keys() - table.columns.keys()]
    assert all(
        column.server_default is not None or column.identity is not None or column.nullable
        for column in missing
    ), missing
