"""The ledger: rows are only ever added, and the same fact only once."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.ledger import LedgerEntry
from shared_lib.store.bulk import Table
from shared_lib.store.codec import columns_of, row_maker
from shared_lib.store.transaction import Transaction

LEDGER = Table(
    "ledger_entries",
    {**columns_of(LedgerEntry), "entered_at": "timestamptz"},
    key=("source_kind", "source_id", "leg"),
)
_row_of = row_maker(LedgerEntry)


def post(tx: Transaction, entries: Sequence[LedgerEntry]) -> None:
    """Queue entries. A second entry for the same leg of the same source is refused by the key: that would be a bug."""
    LEDGER.insert(tx, [(*_row_of(entry), tx.now) for entry in entries])
