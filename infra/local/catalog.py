"""A small catalog for a new stack: two films and two plans. Seeding twice changes nothing.

python -m infra.local.catalog        into BOXOFFICE_DATABASE_URL
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Final, NamedTuple

import psycopg


class Priced(NamedTuple):
    """One price of the seeded catalog; amounts in cents of a euro."""

    price_id: str
    product_id: str
    kind: str
    amount_minor: int
    interval_unit: str | None = None
    trial_days: int = 0


PRODUCTS: Final = {
    "prd_metropolis": "Metropolis (1927)",
    "prd_stalker": "Stalker (1979)",
    "prd_plus": "Cinema Plus",
    "prd_basic": "Cinema Basic",
}

PRICES: Final = (
    Priced("prc_metropolis_buy", "prd_metropolis", "purchase", 1299),
    Priced("prc_metropolis_rent", "prd_metropolis", "rental", 399),
    Priced("prc_stalker_buy", "prd_stalker", "purchase", 1499),
    Priced("prc_stalker_rent", "prd_stalker", "rental", 399),
    Priced("prc_basic_month", "prd_basic", "subscription", 799, "month"),
    Priced("prc_plus_month", "prd_plus", "subscription", 1299, "month", 14),
    Priced("prc_plus_year", "prd_plus", "subscription", 12999, "year"),
)

_SELLABLE_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)


def seed(url: str) -> None:
    """Write the catalog into a migrated database."""
    with psycopg.connect(url) as db, db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO products (id, title, created_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING",
            list(PRODUCTS.items()),
        )
        cursor.executemany(
            """
            INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count,
                                trial_days, sellable_from)
            VALUES (%s, %s, %s, %s, 'EUR', %s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            [
                (p.price_id, p.product_id, p.kind, p.amount_minor, p.interval_unit)
                + (1 if p.interval_unit else None, p.trial_days, _SELLABLE_FROM)
                for p in PRICES
            ],
        )


if __name__ == "__main__":
    seed(os.environ["BOXOFFICE_DATABASE_URL"])
