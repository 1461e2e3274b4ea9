"""Orders of before the place existed: of several for the same thing one gets it, and none is lost."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command

from shared_lib.store import migrations
from shared_lib.store.migrate import _config
from tests.store.box import MAY, Box

VERSIONS = sorted(path.stem for path in Path(migrations.__path__[0]).glob("versions/0*.py"))
PLACES = next(name for name in VERSIONS if name.endswith("one_order_holds_a_title"))


def film(box: Box, customer: str, status: str, kind: str = "purchase") -> str:
    return box.order(status, customer_id=customer, kind=kind, billing_reason=kind)


def access(box: Box, order: str, customer: str, kind: str = "purchase", status: str = "active") -> None:
    row = {"customer_id": customer, "product_id": "prd_1", "order_id": order, "kind": kind, "status": status}
    box.add(
        "entitlements", id=f"ent_{order}", starts_at=MAY, ends_at=MAY if kind == "rental" else None, **row
    )


def test_the_order_that_gives_access_holds_else_the_first_that_waits(empty_database_url: str) -> None:
    before = VERSIONS[VERSIONS.index(PLACES) - 1]
    command.upgrade(_config(empty_database_url), before[:4])
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        box = Box(connection)
        holders = set()
        # Paid twice: the one bought first; the pending one beside them goes on without a place.
        film(box, "ann", "pending")
        first, second = film(box, "ann", "paid"), film(box, "ann", "paid")
        access(box, first, "ann")
        access(box, second, "ann")
        holders.add(first)
        # Two tabs of the day of the migration: the first. What ended has none.
        film(box, "bob", "canceled")
        holders.add(film(box, "bob", "pending"))
        film(box, "bob", "pending")
        # Returned, and a rental that is over: free.
        access(box, film(box, "cleo", "refunded"), "cleo", status="revoked")
        access(box, film(box, "cleo", "paid", "rental"), "cleo", "rental")
        # A subscription has the place as long as it lives; its cycles have none.
        for status in ("active", "canceled"):
            plan = box.subscription(f"dan-{status}", status)
            paid = {"customer_id": f"dan-{status}", "subscription_id": plan}
            begun = box.order("paid", billing_reason="subscription_create", **paid)
            box.order("paid", **paid)
            if status == "active":
                holders.add(begun)
    command.upgrade(_config(empty_database_url), "head")
    with psycopg.connect(empty_database_url) as connection:
        found = connection.execute("SELECT id FROM orders WHERE holds").fetchall()
    assert {row[0] for row in found} == holders
