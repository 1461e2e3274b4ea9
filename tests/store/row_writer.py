"""Rows written in plain SQL, with none of our code between a test and the database."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Any

import psycopg
from psycopg import sql

from tests.kit.examples import utc

MAY, JUNE, JULY = utc(2025, 5, 1), utc(2025, 6, 1), utc(2025, 7, 1)


class RowWriter:
    """One connection, and rows that are valid until a test says otherwise."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._ids = count(1)
        self.add("products", id="prd_1", title="All films", created_at=MAY)
        self.add(
            "prices",
            id="prc_1",
            product_id="prd_1",
            kind="subscription",
            amount_minor=999,
            currency="EUR",
            interval_unit="month",
            interval_count=1,
            sellable_from=MAY,
        )

    def run(self, statement: sql.SQL | sql.Composed, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def add(self, table: str, **row: Any) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        self.run(statement.format(sql.Identifier(table), columns, marks), *row.values())

    def subscription(self, customer: str = "cus_1", status: str = "active") -> str:
        name = f"sub_{next(self._ids)}"
        self.add(
            "subscriptions",
            id=name,
            customer_id=customer,
            product_id="prd_1",
            product_title="All films",
            price_id="prc_1",
            status=status,
            amount_minor=999,
            currency="EUR",
            interval_unit="month",
            interval_count=1,
            time_zone="UTC",
            provider="sandbox",
            created_at=MAY,
        )
        return name

    def order(self, status: str = "pending", **row: Any) -> str:
        name = f"ord_{next(self._ids)}"
        whole: dict[str, Any] = {
            "id": name,
            "customer_id": "cus_1",
            "price_id": "prc_1",
            "product_id": "prd_1",
            "status": status,
        }
        whole |= {
            "product_title": "All films",
            "kind": "subscription",
            "billing_reason": "subscription_cycle",
        }
        whole |= {"amount_minor": 999, "currency": "EUR", "provider": "sandbox", "return_url": ""}
        self.add("orders", **(whole | {"created_at": MAY, "expires_at": JUNE} | row))
        return name

    def cycle(self, subscription: str, n: int, start: datetime, end: datetime, status: str = "paid") -> str:
        """An order for one period of a subscription."""
        period = {"subscription_id": subscription, "period_n": n, "period_start": start, "period_end": end}
        return self.order(status, **period)

    def payment(self, order: str, status: str, **row: Any) -> str:
        name = f"pay_{next(self._ids)}"
        whole: dict[str, Any] = {
            "id": name,
            "order_id": order,
            "provider": "sandbox",
            "flow": "charge",
            "status": status,
        }
        whole |= {"attempt": 1, "amount_minor": 999, "currency": "EUR", "created_at": MAY}
        self.add("payments", **(whole | row))
        return name

    def entry(self, source: str = "pay_1", **row: Any) -> None:
        whole: dict[str, Any] = {
            "source_kind": "payment",
            "source_id": source,
            "leg": "captured",
            "order_id": "ord_1",
        }
        whole |= {"debit": "provider:sandbox", "credit": "revenue", "amount_minor": 999, "currency": "EUR"}
        self.add("ledger_entries", **(whole | {"entered_at": MAY} | row))
