"""Orders of before the place existed: of several for the same thing one gets it, and none is lost."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command

from shared_lib.store import migrations
from shared_lib.store.migrate import _config
from tests.store.row_writer import MAY, RowWriter

VERSIONS = sorted(path.stem for path in Path(migrations.__path__[0]).glob("versions/0*.py"))
PLACES = next(name for name in VERSIONS if name.endswith("one_order_holds_a_title"))


def film(writer: RowWriter, customer: str, status: str, kind: str = "purchase") -> str:
    return writer.order(status, customer_id=customer, kind=kind, billing_reason=kind)


def access(
    writer: RowWriter, order: str, customer: str, kind: str = "purchase", status: str = "active"
) -> None:
    row = {"customer_id": customer, "product_id": "prd_1", "order_id": order, "kind": kind, "status": status}
    writer.add(
        "entitlements", id=f"ent_{order}", starts_at=MAY, ends_at=MAY if kind == "rental" else None, **row
    )


def test_the_order_that_gives_access_holds_else_the_first_that_waits(empty_database_url: str) -> None:
    before = VERSIONS[VERSIONS.index(PLACES) - 1]
    command.upgrade(_config(empty_database_url), before[:4])
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        writer = RowWriter(connection)
        holders = set()
        # Paid twice: the one bought first; the pending one beside them goes on without a place.
        film(writer, "ann", "pending")
        first, second = film(writer, "ann", "paid"), film(writer, "ann", "paid")
        access(writer, first, "ann")
        access(writer, second, "ann")
        holders.add(first)
        # Two tabs of the day of the migration: the first. What ended has none.
        film(writer, "bob", "canceled")
        holders.add(film(writer, "bob", "pending"))
        film(writer, "bob", "pending")
        # Returned, and a rental that is over: free.
        access(writer, film(writer, "cleo", "refunded"), "cleo", status="revoked")
        access(writer, film(writer, "cleo", "paid", "rental"), "cleo", "rental")
        # A subscription has the place as long as it lives; its cycles have none.
        for status in ("active", "canceled"):
            plan = writer.subscription(f"dan-{status}", status)
            paid = {"customer_id": f"dan-{status}", "subscription_id": plan}
            begun = writer.order("paid", billing_reason="subscription_create", **paid)
            writer.order("paid", **paid)
            if status == "active":
                holders.add(begun)
    command.upgrade(_config(empty_database_url), "head")
    with psycopg.connect(empty_database_url) as connection:
        found = connection.execute("SELECT id FROM orders WHERE holds").fetchall()
    assert {row[0] for row in found} == holders
