"""The ledger: rows are only ever added, and the same fact only once."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.ledger import LedgerEntry
from shared_lib.store.bulk import Table
from shared_lib.store.transaction import Transaction

LEDGER = Table(
    "ledger_entries",
    {
        "source_kind": "text",
        "source_id": "text",
        "leg": "text",
        "order_id": "text",
        "debit": "text",
        "credit": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "entered_at": "timestamptz",
    },
    key=("source_kind", "source_id", "leg"),
)


def post(tx: Transaction, entries: Sequence[LedgerEntry]) -> None:
    """Add entries. A second entry for the same leg of the same source is refused by the key: that would be a bug."""
    rows = [
        (
            entry.source_kind,
            entry.source_id,
            entry.leg,
            entry.order_id,
            entry.debit,
            entry.credit,
            entry.amount.minor,
            entry.amount.currency,
            tx.now,
        )
        for entry in entries
    ]
    LEDGER.insert(tx, rows)
