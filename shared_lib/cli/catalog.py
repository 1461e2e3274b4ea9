"""`boxoffice catalog list|retire|add-price`: prices are immutable; a change is a new one and an end to the old one."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from shared_lib.cli.terminal import CannotError, connected, moment, money, printed
from shared_lib.domain.money import Money
from shared_lib.ids import new_id


def show() -> str:
    with connected() as db:
        rows = db.execute(
            """
            SELECT prices.id, title, kind, amount_minor, currency, interval_count || ' ' || interval_unit, trial_days,
                   sellable_from, sellable_until, sellable_from <= boxoffice_now()
                       AND coalesce(sellable_until > boxoffice_now(), true)
            FROM prices JOIN products ON products.id = product_id ORDER BY title, prices.id
            """
        ).fetchall()
    return printed(
        ("price", "product", "kind", "amount", "every", "trial", "sold", "from (UTC)", "until (UTC)"),
        [
            (r[0], r[1], r[2], money(r[3], r[4]), r[5], f"{r[6]} d" if r[6] else None, "yes" if r[9] else "no",
             moment(r[7]), moment(r[8]))
            for r in rows
        ],
    )  # fmt: skip


def retire(price_id: str) -> str:
    """Sold no longer from now on. Who has it keeps it: subscriptions are renewed at it."""
    with connected() as db:
        found = db.execute(
            "UPDATE prices SET sellable_until = least(sellable_until, boxoffice_now()) WHERE id = %s RETURNING sellable_until",
            [price_id],
        ).fetchone()
    if found is None:
        raise CannotError(f"There is no price {price_id}; see `boxoffice catalog list`.")
    return f"{price_id} is not sold since {moment(found[0])}."


def add_price(
    product_id: str,
    kind: str,
    amount: Money,
    *,
    every: Sequence[str] | None,
    trial_days: int,
    title: str | None,
) -> str:
    """A new price, sold from now on. `every` is ("1", "month"); a title makes the product when it is new."""
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
    except psycopg.errors.ForeignKeyViolation:
        raise CannotError(f"There is no product {product_id}; give its --title to make it.") from None
    except psycopg.errors.CheckViolation as error:
        raise CannotError(f"The price does not fit together: {error.diag.constraint_name}") from None
    return f"{price_id}: {amount} for {product_id}, sold from now on."
