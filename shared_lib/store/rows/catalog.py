"""Prices with their products. They are immutable but for the end of their sale, so reading them is enough."""

from __future__ import annotations

from shared_lib.domain.catalog import Price, PriceKind
from shared_lib.domain.money import Money
from shared_lib.domain.period import Interval, Unit
from shared_lib.store.transaction import Row, Transaction

PRICE = """
    prices.id, prices.product_id, products.title, prices.kind, prices.amount_minor, prices.currency,
    prices.interval_unit, prices.interval_count, prices.trial_days, prices.sellable_from, prices.sellable_until
"""
PRICE_COLUMNS = PRICE.count(",") + 1


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


async def sellable_prices(tx: Transaction) -> list[Price]:
    """What may be bought now."""
    rows = await tx.fetch(
        f"""
        SELECT {PRICE} FROM prices JOIN products ON products.id = prices.product_id
        WHERE sellable_from <= %s AND (sellable_until IS NULL OR sellable_until > %s) ORDER BY title, prices.id
        """,
        [now := await tx.clock(), now],
    )
    return [price_of(row) for row in rows]
