"""The provider's double-entry books: the demo's last table and the tests compare Boxoffice's ledger with them.

card:<slug>:<customer>    a customer's card; a capture debits it, money given back credits it
merchant:balance          what was captured for the merchant
merchant:refunds          what the merchant gave back
refunds:in_transit        given back and not arrived yet
"""

from __future__ import annotations

from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, Tx, many

BALANCE, REFUNDS, IN_TRANSIT = "merchant:balance", "merchant:refunds", "refunds:in_transit"

_BY_CURRENCY = """
SELECT currency,
       sum(CASE WHEN credit = 'merchant:balance' THEN amount_minor ELSE 0 END) AS captured,
       sum(CASE WHEN debit = 'merchant:refunds' THEN amount_minor
                WHEN credit = 'merchant:refunds' THEN -amount_minor ELSE 0 END) AS refunded
  FROM entries GROUP BY currency ORDER BY currency
"""

_BY_ORDER = """
SELECT p.their_order AS order_id, e.currency,
       sum(CASE WHEN credit = 'merchant:balance' THEN e.amount_minor ELSE 0 END) AS captured,
       sum(CASE WHEN debit = 'merchant:refunds' THEN e.amount_minor
                WHEN credit = 'merchant:refunds' THEN -e.amount_minor ELSE 0 END) AS refunded,
       count(DISTINCT e.payment) AS payments
  FROM entries e JOIN payments p ON p.id = e.payment
 WHERE p.their_order IS NOT NULL
 GROUP BY p.their_order, e.currency ORDER BY p.their_order
"""

_ACCOUNTS = """
SELECT account, currency, sum(amount) AS balance FROM (
    SELECT debit AS account, currency, -amount_minor AS amount FROM entries
    UNION ALL
    SELECT credit, currency, amount_minor FROM entries
) GROUP BY account, currency ORDER BY account, currency
"""


def post(
    at: Moment, payment: Row, amount_minor: int, *, debit: str, credit: str, refund: str | None = None
) -> None:
    """Add one entry. A zero amount writes none."""
    if amount_minor == 0:
        return
    at.tx.execute(
        "INSERT INTO entries (debit, credit, amount_minor, currency, payment, refund, at) VALUES (?,?,?,?,?,?,?)",
        (debit, credit, amount_minor, payment["currency"], payment["id"], refund, at.now),
    )


def totals(tx: Tx) -> dict[str, object]:
    """Per currency and per order, in minor units: captured, refunded, net."""
    return {
        "currencies": {row["currency"]: _sums(row) for row in many(tx, _BY_CURRENCY)},
        "orders": {
            row["order_id"]: {"currency": row["currency"], "payments": row["payments"], **_sums(row)}
            for row in many(tx, _BY_ORDER)
        },
        "accounts": [
            {"account": row["account"], "currency": row["currency"], "balance_minor": row["balance"]}
            for row in many(tx, _ACCOUNTS)
        ],
    }


def _sums(row: Row) -> dict[str, int]:
    captured, refunded = row["captured"], row["refunded"]
    return {"captured_minor": captured, "refunded_minor": refunded, "net_minor": captured - refunded}
