"""Prices with their products, read by id."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.catalog import Price, PriceKind
from shared_lib.domain.money import Money
from shared_lib.domain.period import Interval, Unit
from shared_lib.store.transaction import Row, Transaction

_PRICES = """
    SELECT prices.id, product_id, title, kind, amount_minor, currency, interval_unit, interval_count, trial_days,
           sellable_from, sellable_until
    FROM prices JOIN products ON products.id = product_id
"""


def price_of(row: Row) -> Price:
    return Price(
        id=row[0],
        product_id=row[1],
        product_title=row[2],
        kind=PriceKind(row[3]),
        amount=Money(row[4], row[5]),
        interval=Interval(Unit(row[6]), row[7]) if row[6] else None,
        trial_days=row[8],
        sellable_from=row[9],
        sellable_until=row[10],
    )


async def read_prices(tx: Transaction, ids: Sequence[str]) -> dict[str, Price]:
    """Prices are immutable, so reading them is enough."""
    rows = await tx.fetch(f"{_PRICES} WHERE prices.id = ANY(%s)", [sorted(set(ids))])
    return {row[0]: price_of(row) for row in rows}


async def sellable_prices(tx: Transaction) -> list[Price]:
    """What may be bought now."""
    rows = await tx.fetch(
        f"{_PRICES} WHERE sellable_from <= %s AND (sellable_until IS NULL OR sellable_until > %s) ORDER BY title, prices.id",
        [tx.now, tx.now],
    )
    return [price_of(row) for row in rows]
