"""Ledger entries: one row names a debit account, a credit account and one amount, so it cannot be unbalanced.

provider:<name>   what a provider holds for us          (asset)
revenue           what customers paid for               (income)
refunds           what went back of it                  (contra-income)
surplus           what customers paid beyond any order  (owed to them)
"""

from __future__ import annotations

from enum import StrEnum

from shared_lib.domain.money import Money
from shared_lib.domain.values import Value, replace

REVENUE, REFUNDS, SURPLUS = "revenue", "refunds", "surplus"


class EntrySource(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"


class LedgerEntry(Value, kw_only=True):
    """`leg` makes (source_kind, source_id, leg) unique: the same fact cannot be written twice.

    Legs of a payment: `captured`, then `captured:<total>` for each later growth. Of a refund: `refunded`, `returned`.
    """

    debit: str
    credit: str
    amount: Money
    source_kind: EntrySource
    source_id: str
    order_id: str
    leg: str


def held_by(provider: str) -> str:
    return f"provider:{provider}"


def captured(payment_id: str, order_id: str, provider: str, amount: Money, *, surplus: bool) -> LedgerEntry:
    """A provider took money. Surplus is owed back to the customer; all else is revenue."""
    return LedgerEntry(
        debit=held_by(provider),
        credit=SURPLUS if surplus else REVENUE,
        amount=amount,
        source_kind=EntrySource.PAYMENT,
        source_id=payment_id,
        order_id=order_id,
        leg="captured",
    )


def captured_more(
    payment_id: str, order_id: str, provider: str, more: Money, captured_minor: int
) -> LedgerEntry:
    """A provider took `more` on a payment that had succeeded, `captured_minor` altogether. No order asked for it."""
    first = captured(payment_id, order_id, provider, more, surplus=True)
    return replace(first, leg=f"captured:{captured_minor}")


def refunded(refund_id: str, order_id: str, provider: str, amount: Money, *, surplus: bool) -> LedgerEntry:
    """A provider gave money back."""
    return LedgerEntry(
        debit=SURPLUS if surplus else REFUNDS,
        credit=held_by(provider),
        amount=amount,
        source_kind=EntrySource.REFUND,
        source_id=refund_id,
        order_id=order_id,
        leg="refunded",
    )


def refund_returned(
    refund_id: str, order_id: str, provider: str, amount: Money, *, surplus: bool
) -> LedgerEntry:
    """A refund that had succeeded failed later: the money is with the provider again. Added, never edited."""
    return LedgerEntry(
        debit=held_by(provider),
        credit=SURPLUS if surplus else REFUNDS,
        amount=amount,
        source_kind=EntrySource.REFUND,
        source_id=refund_id,
        order_id=order_id,
        leg="returned",
    )
