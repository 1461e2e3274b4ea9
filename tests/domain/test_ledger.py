from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.ledger import (
    REFUNDS,
    REVENUE,
    SURPLUS,
    EntrySource,
    LedgerEntry,
    captured,
    held_by,
    refund_returned,
    refunded,
)
from shared_lib.domain.money import Money
from tests.kit.examples import eur

SANDBOX = held_by("sandbox")


def took(minor: int, *, surplus: bool = False) -> LedgerEntry:
    return captured("pay_1", "ord_1", "sandbox", eur(minor), surplus=surplus)


def gave_back(minor: int, *, surplus: bool = False) -> LedgerEntry:
    return refunded("ref_1", "ord_1", "sandbox", eur(minor), surplus=surplus)


def came_back(minor: int, *, surplus: bool = False) -> LedgerEntry:
    return refund_returned("ref_1", "ord_1", "sandbox", eur(minor), surplus=surplus)


def balances(entries: list[LedgerEntry]) -> dict[str, int]:
    """Debits less credits, of the accounts that are not even."""
    total: Counter[str] = Counter()
    for entry in entries:
        total[entry.debit] += entry.amount.minor
        total[entry.credit] -= entry.amount.minor
    return {account: minor for account, minor in total.items() if minor}


def test_what_a_customer_pays_is_revenue_held_by_the_provider() -> None:
    assert balances([took(999)]) == {SANDBOX: 999, REVENUE: -999}


def test_a_refund_is_seen_beside_the_revenue_and_not_taken_out_of_it() -> None:
    assert balances([took(999), gave_back(400)]) == {SANDBOX: 599, REVENUE: -999, REFUNDS: 400}
    assert balances([took(999), gave_back(999)]) == {REVENUE: -999, REFUNDS: 999}


def test_surplus_comes_and_goes_without_touching_revenue() -> None:
    assert balances([took(999, surplus=True)]) == {SANDBOX: 999, SURPLUS: -999}
    assert balances([took(999, surplus=True), gave_back(999, surplus=True)]) == {}


@pytest.mark.parametrize("surplus", [False, True])
def test_a_refund_that_came_back_leaves_the_books_as_if_it_had_not_been(surplus: bool) -> None:
    paid = took(999, surplus=surplus)
    there_and_back = [paid, gave_back(400, surplus=surplus), came_back(400, surplus=surplus)]
    assert balances(there_and_back) == balances([paid])


entries = st.lists(
    st.builds(
        lambda make, minor, surplus: make(minor, surplus=surplus),
        st.sampled_from([took, gave_back, came_back]),
        st.integers(1, 10**12),
        st.booleans(),
    ),
    max_size=20,
)


@given(entries)
def test_the_books_are_balanced_whatever_is_entered(written: list[LedgerEntry]) -> None:
    assert sum(balances(written).values()) == 0
    assert all(entry.debit != entry.credit for entry in written)


def test_each_fact_has_a_name_of_its_own_so_that_it_cannot_be_written_twice() -> None:
    names = [
        (entry.source_kind, entry.source_id, entry.leg) for entry in (took(1), gave_back(1), came_back(1))
    ]
    assert names == [
        (EntrySource.PAYMENT, "pay_1", "captured"),
        (EntrySource.REFUND, "ref_1", "refunded"),
        (EntrySource.REFUND, "ref_1", "returned"),
    ]


def test_an_entry_keeps_the_currency_it_was_paid_in() -> None:
    entry = captured("pay_1", "ord_1", "yookassa", Money(79900, "RUB"), surplus=False)
    assert (entry.amount, entry.debit, entry.order_id) == (Money(79900, "RUB"), "provider:yookassa", "ord_1")
