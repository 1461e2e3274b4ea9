"""`boxoffice explain ID`: everything that happened to an order, payment, refund, subscription or access, by time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from shared_lib.cli.terminal import CannotError, Connection, connected, moment, money, printed
from shared_lib.visible import on_one_line

# Each query returns moments: (at, what, id, says). %(orders)s and %(subs)s are the ids of the orders and subscriptions.
_MOMENTS: Final = {
    "subscription": """
        SELECT created_at, 'subscription begins', id,
               status || ', period ' || period_n || coalesce(' until ' || to_char(period_end, 'YYYY-MM-DD HH24:MI'), '')
               || CASE WHEN auto_renew THEN ', renews' ELSE ', opted out' END
        FROM subscriptions WHERE id = ANY(%(subs)s)
        UNION ALL
        SELECT past_due_at, 'a renewal was declined', id, 'past due since' FROM subscriptions
        WHERE id = ANY(%(subs)s) AND past_due_at IS NOT NULL
    """,
    "order": """
        SELECT created_at, 'ordered', id, billing_reason || ', now ' || status FROM orders WHERE id = ANY(%(orders)s)
        UNION ALL
        SELECT paid_at, 'paid', id, 'by ' || paid_payment_id FROM orders
        WHERE id = ANY(%(orders)s) AND paid_at IS NOT NULL
    """,
    "payment": """
        SELECT created_at, 'payment ' || attempt || ' by ' || provider, id,
               flow || ', now ' || status || coalesce(': ' || decline_kind || ' ' || decline_reason, '')
               || CASE WHEN surplus THEN ', surplus' ELSE '' END || coalesce(', theirs ' || provider_ref, '')
        FROM payments WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT next_check_at, 'provider will be asked', id, checks || ' times asked so far' FROM payments
        WHERE order_id = ANY(%(orders)s) AND next_check_at IS NOT NULL
    """,
    "refund": """
        SELECT created_at, 'refund requested', id,
               'by ' || requested_by || ' ("' || reason || '"), access ' || access || ', now ' || status
               || coalesce(': ' || failure_reason, '') || coalesce(', theirs ' || provider_ref, '')
        FROM refunds WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT next_check_at, 'provider will be asked', id, checks || ' times asked so far' FROM refunds
        WHERE order_id = ANY(%(orders)s) AND next_check_at IS NOT NULL
    """,
    "access": """
        SELECT starts_at, 'access begins', id, product_id || ', ' || status FROM entitlements
        WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT first_played_at, 'first play', id, product_id FROM entitlements
        WHERE order_id = ANY(%(orders)s) AND first_played_at IS NOT NULL
        UNION ALL
        SELECT ends_at, 'access ends', id, product_id FROM entitlements
        WHERE order_id = ANY(%(orders)s) AND ends_at IS NOT NULL
    """,
    "outbox": """
        SELECT available_at, 'waits for delivery', event_id, type || ', ' || attempts || ' attempts' FROM outbox
        WHERE subject = ANY(%(subjects)s)
        UNION ALL
        SELECT dead_at, 'DEAD LETTER', id, type || ': ' || reason FROM dead_letters
        WHERE headers->>'subject' = ANY(%(subjects)s) AND replayed_at IS NULL
    """,
    "webhook": """
        SELECT received_at, 'webhook ' || status, event_id, source || ', tried ' || attempts || ' times' FROM inbox
        WHERE payload->'payment'->>'payment_id' = ANY(%(payments)s)
    """,
    "set aside": """
        SELECT set_aside_at, 'SET ASIDE', id, reason || ', ' || attempts || ' times' FROM set_aside
        WHERE id = ANY(%(subjects)s) OR id IN (SELECT id FROM refunds WHERE order_id = ANY(%(orders)s))
           OR id IN (SELECT source || '/' || event_id FROM inbox
                     WHERE payload->'payment'->>'payment_id' = ANY(%(payments)s))
        UNION ALL
        SELECT next_try_at, 'is tried again', id, kind FROM set_aside WHERE id = ANY(%(subjects)s)
           OR id IN (SELECT id FROM refunds WHERE order_id = ANY(%(orders)s))
    """,
    "mail": """
        SELECT coalesce(sent_at, created_at), 'mail ' || status, id, event_type || coalesce(': ' || detail, '')
        FROM notifications
        WHERE customer_id = %(customer)s AND created_at >= %(since)s
    """,
}

_LEDGER: Final = """
    SELECT entered_at, leg, source_id, debit, credit, amount_minor, currency FROM ledger_entries
    WHERE order_id = ANY(%(orders)s)
"""

_ORDERS_OF: Final = {
    "ord": "SELECT id FROM orders WHERE id = %s",
    "pay": "SELECT order_id FROM payments WHERE id = %s",
    "ref": "SELECT order_id FROM refunds WHERE id = %s",
    "sub": "SELECT id FROM orders WHERE subscription_id = %s ORDER BY id",
    "ent": "SELECT order_id FROM entitlements WHERE id = %s",
}


class Moment(NamedTuple):
    at: datetime
    what: str
    id: str
    says: str


def explain(id_: str) -> str:
    """The history, oldest first; what is still to come is below the line `now`."""
    prefix = id_.partition("_")[0]
    if prefix not in _ORDERS_OF:
        raise CannotError(
            f"{id_!r} is not an id of Boxoffice: {', '.join(f'{name}_...' for name in _ORDERS_OF)}"
        )
    with connected() as db:
        orders = [row[0] for row in db.execute(_ORDERS_OF[prefix].encode(), [id_])]
        if not orders:
            raise CannotError(f"There is no {id_}.")
        head, scope = _scope(db, orders)
        moments = _moments(db, scope)
        now: datetime = db.execute("SELECT boxoffice_now()").fetchall()[0][0]
    moments.append(Moment(now, "--- now ---", "", ""))
    rows = [(moment(one.at), one.what, one.id, one.says) for one in sorted(moments, key=lambda one: one.at)]
    return f"{head}\n\n{printed(('at (UTC)', 'what', 'id', 'says'), rows)}"


def _scope(db: Connection, orders: list[str]) -> tuple[str, dict[str, Any]]:
    """The heading, and the ids that the queries need."""
    rows = db.execute(
        "SELECT id, status, product_title, amount_minor, currency, customer_id, subscription_id, created_at"
        " FROM orders WHERE id = ANY(%s) ORDER BY created_at, id",
        [orders],
    ).fetchall()
    customer, since = rows[0][5], rows[0][7]
    mail = db.execute("SELECT email, locale FROM customers WHERE id = %s", [customer]).fetchone()
    lines = [f"customer {customer}" + (f" <{mail[0] or 'no address'}>, {mail[1]}" if mail else "")]
    lines += [f"{row[0]}  {row[1]}  {row[2]}  {money(row[3], row[4])}" for row in rows]
    found = db.execute("SELECT id FROM payments WHERE order_id = ANY(%s)", [orders]).fetchall()
    payments, subs = [row[0] for row in found], sorted({row[6] for row in rows if row[6]})
    scope = {
        "orders": orders,
        "subs": subs,
        "payments": payments,
        "subjects": [*orders, *subs, *payments],
        "customer": customer,
        "since": since,
    }
    return "\n".join(map(on_one_line, lines)), scope


def _moments(db: Connection, scope: dict[str, Any]) -> list[Moment]:
    found = [Moment(*row) for sql in _MOMENTS.values() for row in db.execute(sql.encode(), scope)]
    for at, leg, source_id, debit, credit, minor, currency in db.execute(_LEDGER.encode(), scope):
        found.append(
            Moment(at, f"ledger: {leg}", source_id, f"{money(minor, currency)}: {debit} <- {credit}")
        )
    return found
