"""`boxoffice explain WHAT`: the whole causal chain of an order, payment, refund, subscription, access, or customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from shared_lib.cli import history, standing
from shared_lib.cli.history import Moment
from shared_lib.cli.standing import Access
from shared_lib.cli.terminal import (
    CannotError,
    Connection,
    Output,
    amount,
    connected,
    moment,
    money,
    table,
    words,
)

ORDERS_MAX: Final = 100

_ORDERS_OF: Final = {
    "ord": "SELECT id FROM orders WHERE id = %s",
    "pay": "SELECT order_id FROM payments WHERE id = %s",
    "ref": "SELECT order_id FROM refunds WHERE id = %s",
    "sub": "SELECT id FROM orders WHERE subscription_id = %s AND period_n IS NOT NULL ORDER BY period_n",
    "ent": "SELECT order_id FROM entitlements WHERE id = %s",
}
_OF_CUSTOMER: Final = "SELECT id FROM orders WHERE customer_id = %s ORDER BY id DESC LIMIT %s"


def explain(what: str) -> Output:
    """By time, oldest first; what is still to come is below the line `now`. `what`: an id, a customer, an e-mail address."""
    with connected() as db:
        customer, orders = _found(db, what)
        now: datetime = db.execute("SELECT boxoffice_now()").fetchall()[0][0]
        rows, scope = _scope(db, customer, orders, now)
        watched = standing.access(db, scope, now)
        moments = [*history.moments(db, scope), *standing.ends(watched), *standing.upcoming(db, scope)]
        person = db.execute("SELECT email, locale FROM customers WHERE id = %s", [customer]).fetchone()
    moments.append(Moment(now, "--- now ---", "", ""))
    moments.sort(key=lambda one: one.at)
    email, locale = person or (None, None)
    head = [f"customer {customer}" + (f" <{email or 'no address'}>, {locale}" if person else "")]
    head += [f"{row[0]}  {row[1]}  {row[2]}  {money(row[3], row[4])}" for row in rows]
    if newest_alone := what not in scope["subs"] and len(orders) == ORDERS_MAX:
        head.append(
            f"There may be older orders: these are the newest {ORDERS_MAX}; an id explains an older one."
        )
    shown = [
        words(line.replace("\n", "\\n").replace("\t", "\\t"), "bold" if not n else "")
        for n, line in enumerate(head)
    ]
    told = [(moment(one.at), one.what, one.id, one.says) for one in moments]
    parts = [*shown, "", *_access_lines(rows, watched), "", table(("at (UTC)", "what", "id", "says"), told)]
    data = _data((customer, email, locale), rows, watched, moments, now)
    return Output(parts, data | {"newest_orders_alone": newest_alone})


def _found(db: Connection, what: str) -> tuple[str, list[str]]:
    """The customer, and the orders to explain. Raises CannotError."""
    prefix = what.partition("_")[0]
    if "_" in what and prefix in _ORDERS_OF:
        orders = [row[0] for row in db.execute(_ORDERS_OF[prefix].encode(), [what])]
        if not orders:
            raise CannotError(f"There is no {what}.")
        return db.execute("SELECT customer_id FROM orders WHERE id = %s", [orders[0]]).fetchall()[0][
            0
        ], orders
    by = "lower(email) = lower(%s)" if "@" in what else "id = %s"
    customers = [row[0] for row in db.execute(f"SELECT id FROM customers WHERE {by}".encode(), [what])]
    if not customers:
        kinds = ", ".join(f"{name}_..." for name in _ORDERS_OF)
        raise CannotError(f"{what!r} is no customer, no e-mail address of one, and no id ({kinds}).")
    if len(customers) > 1:
        raise CannotError(
            f"Several customers have this address; explain one of them: {', '.join(sorted(customers))}."
        )
    return customers[0], [row[0] for row in db.execute(_OF_CUSTOMER.encode(), [customers[0], ORDERS_MAX])]


def _scope(
    db: Connection, customer: str, orders: list[str], now: datetime
) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """The orders, and the ids that the queries need."""
    rows = db.execute(
        "SELECT id, status, product_title, amount_minor, currency, customer_id, subscription_id, created_at"
        " FROM orders WHERE id = ANY(%s) ORDER BY created_at, id",
        [orders],
    ).fetchall()
    payments = [row[0] for row in db.execute("SELECT id FROM payments WHERE order_id = ANY(%s)", [orders])]
    refunds = [row[0] for row in db.execute("SELECT id FROM refunds WHERE order_id = ANY(%s)", [orders])]
    subs = sorted({row[6] for row in rows if row[6]})
    return rows, {
        "orders": orders,
        "subs": subs,
        "payments": payments,
        "subjects": [*orders, *subs, *payments, *refunds],
        "customers": [customer],
        "since": rows[0][7] if rows else now,
    }


def _access_lines(rows: Sequence[tuple[Any, ...]], watched: Sequence[Access]) -> list[Any]:
    if not rows:
        return ["no orders"]
    if not watched:
        waiting = ", ".join(sorted({row[1] for row in rows}))
        return [words(f"access: none was given; the order is {waiting}", "yellow")]
    return [words(f"access: {one}", "green" if one.watchable else "yellow") for one in watched]


def _data(
    person: tuple[str, str | None, str | None],
    rows: Sequence[tuple[Any, ...]],
    watched: Sequence[Access],
    moments: Sequence[Moment],
    now: datetime,
) -> dict[str, object]:
    return {
        "customer": dict(zip(("id", "email", "locale"), person, strict=True)),
        "orders": [
            {
                "id": row[0],
                "status": row[1],
                "title": row[2],
                "amount": amount(row[3], row[4]),
                "subscription_id": row[6],
            }
            for row in rows
        ],
        "access": [one._asdict() for one in watched],
        "now": now,
        "moments": [one._asdict() for one in moments if one.id],
    }
