"""`boxoffice catalog list|retire|add-price`. Prices are immutable: to change one, retire it and add another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import psycopg

from shared_lib.cli.terminal import (
    CannotError,
    Output,
    by_name,
    connected,
    moment,
    money,
    note,
    provider_names,
    repair_by,
    table,
)
from shared_lib.contract.formats import IDENTIFIER
from shared_lib.domain.currencies import ISO_4217
from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.providers.registry import capabilities_of

_NAMES: Final = ("price", "product", "kind", "amount", "every", "trial", "sold")


def show() -> Output:
    with connected() as db:
        rows = db.execute(
            """
            SELECT prices.id, title, kind, amount_minor, currency, interval_count || ' ' || interval_unit, trial_days,
                   sellable_from, sellable_until, sellable_from <= boxoffice_now()
                       AND coalesce(sellable_until > boxoffice_now(), true)
            FROM prices JOIN products ON products.id = product_id ORDER BY title, prices.id
            """
        ).fetchall()
    told = [
        (r[0], r[1], r[2], money(r[3], r[4]), r[5], f"{r[6]} d" if r[6] else None, "yes" if r[9] else "no")
        for r in rows
    ]
    shown = table(
        (*_NAMES, "from (UTC)", "until (UTC)"),
        [(*line, moment(r[7]), moment(r[8])) for line, r in zip(told, rows, strict=True)],
    )
    data = [(*line, r[7], r[8]) for line, r in zip(told, rows, strict=True)]
    return Output([shown], by_name((*_NAMES, "from", "until"), data))


def retire(price_id: str, *, by: str | None = None, because: str | None = None) -> Output:
    """Stop selling a price, from now on. Existing subscriptions are still renewed at it."""
    with connected() as db:
        found = db.execute(
            "UPDATE prices SET sellable_until = least(sellable_until, boxoffice_now()) WHERE id = %s RETURNING sellable_until",
            [price_id],
        ).fetchone()
        if found is None:
            raise CannotError(f"There is no price {price_id}; see `boxoffice catalog list`.")
        note(db, repair_by(by, "retire", because), price_id)
    says = f"{price_id} is not on sale since {moment(found[0])}."
    return Output([says], {"price": price_id, "until": found[0]})


def add_price(
    product_id: str,
    kind: str,
    amount: Money,
    *,
    every: Sequence[str] | None,
    trial_days: int,
    title: str | None,
    by: str | None = None,
    because: str | None = None,
) -> Output:
    """Sell at a new price from now on. `every` is ("1", "month"); a title creates the product if it is new.

    Raises CannotError for an id that the interface does not promise, and for an amount below every provider's minimum; returns a warning if only some could charge it, or none
    takes the currency yet.
    """
    if not re.fullmatch(IDENTIFIER, product_id):
        raise CannotError(f"{product_id!r} is not the id of a product: it matches {IDENTIFIER}.")
    if amount.currency not in ISO_4217:
        raise CannotError(f"{amount.currency} is not a currency of ISO 4217.")
    warnings = [] if kind != "subscription" and not amount else _charging(amount)
    price_id = new_id("prc")
    count, unit = every or (None, None)
    try:
        with connected() as db:
            if title:
                db.execute(
                    "INSERT INTO products (id, title, created_at) VALUES (%s, %s, boxoffice_now()) ON CONFLICT DO NOTHING",
                    [product_id, title],
                )
            db.execute(
                """
                INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count,
                                    trial_days, sellable_from)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, boxoffice_now())
                """,
                [price_id, product_id, kind, amount.minor, amount.currency, unit, count, trial_days],
            )
            note(db, repair_by(by, "add-price", because), price_id)
    except psycopg.errors.ForeignKeyViolation:
        raise CannotError(f"There is no product {product_id}; give its --title to create it.") from None
    except psycopg.errors.CheckViolation as error:
        raise CannotError(f"The price is not consistent: {error.diag.constraint_name}") from None
    says = f"{price_id}: {amount} for {product_id}, sold from now on."
    return Output(
        [says, *warnings],
        {"price": price_id, "product": product_id, "amount": str(amount), "warnings": warnings},
    )


def _charging(amount: Money) -> list[str]:
    """Warnings about providers that cannot charge it. Raises CannotError when it is below the minimum of each."""
    try:
        able = {name: capabilities_of(name) for name in provider_names()}
    except (ValueError, ImportError, AttributeError) as error:
        raise CannotError(f"BOXOFFICE_PROVIDERS: {error}") from None
    minimum = {
        name: Money(can.minimum_minor.get(amount.currency, 0), amount.currency)
        for name, can in able.items()
        if amount.currency in can.currencies
    }
    if not minimum:
        return [f"Warning: no provider here takes {amount.currency}, so orders at this price are refused."]
    too_small = [name for name, least in minimum.items() if amount and amount < least]
    if len(too_small) == len(minimum):
        least = min(minimum.values(), key=lambda one: one.minor)
        raise CannotError(f"No provider here charges {amount}; the smallest amount is {least}.")
    return [f"Warning: {name} charges no less than {minimum[name]}." for name in too_small]
