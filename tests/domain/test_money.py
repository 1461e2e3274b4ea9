from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.money import Money, exponent, zero
from tests.kit.examples import eur

CURRENCIES = ("EUR", "USD", "RUB", "JPY", "KWD", "CLF")
minors = st.integers(-(2**63), 2**63 - 1)  # what a BIGINT holds
moneys = st.builds(Money, minors, st.sampled_from(CURRENCIES))
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


@given(moneys, weights)
def test_a_split_adds_up_to_the_cent(whole: Money, shares: list[int]) -> None:
    parts = whole.split(shares)
    assert sum((part.minor for part in parts), 0) == whole.minor
    assert {part.currency for part in parts} == {whole.currency}


@given(moneys, weights)
def test_no_part_is_a_whole_cent_away_from_its_exact_share(whole: Money, shares: list[int]) -> None:
    total = sum(shares)
    for part, weight in zip(whole.split(shares), shares, strict=True):
        assert abs(part.minor * total - whole.minor * weight) < total


@given(moneys, weights)
def test_who_weighs_nothing_gets_nothing(whole: Money, shares: list[int]) -> None:
    parts = whole.split([*shares, 0])
    assert parts[-1] == zero(whole.currency)


def test_the_largest_remainder_gets_the_cent_and_the_first_wins_a_tie() -> None:
    assert [part.minor for part in eur(100).split([1, 1, 1])] == [34, 33, 33]
    assert [part.minor for part in eur(5).split([3, 7])] == [2, 3]
    assert [part.minor for part in eur(10).split([1, 5])] == [2, 8]  # 1.67 and 8.33
    assert [part.minor for part in eur(-100).split([1, 1, 1])] == [-33, -33, -34]


@pytest.mark.parametrize("shares", [[], [0], [0, 0], [-1], [2, -1], [-1, 3], [-1, -1]])
def test_weights_that_divide_nothing_are_refused(shares: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        eur(100).split(shares)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [1.0], [1, 0.1]])
def test_weights_are_never_floats(shares: list[Any]) -> None:
    with pytest.raises(TypeError):
        eur(100).split(shares)


@given(moneys, st.integers(1, 10**6), st.data())
def test_a_share_lies_between_nothing_and_everything(whole: Money, of: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, of))
    share = whole.share(part, of)
    low, high = sorted((0, whole.minor))
    assert low <= share.minor <= high
    assert whole.share(0, of) == zero(whole.currency)
    assert whole.share(of, of) == whole


@pytest.mark.parametrize(("part", "whole"), [(2, 1), (-1, 2), (0, 0), (1, -1)])
def test_a_share_that_is_no_fraction_is_refused(part: int, whole: int) -> None:
    with pytest.raises(ValueError, match="weights"):
        eur(100).share(part, whole)


@given(minors, minors)
def test_adding_and_taking_away_undo_each_other(one: int, other: int) -> None:
    assert eur(one) + eur(other) - eur(other) == eur(one)
    assert eur(one) + zero("EUR") == eur(one)
    assert (eur(one) < eur(other)) == (one < other)
    assert (eur(one) >= eur(other)) == (one >= other)
    assert (eur(one) > eur(other)) == (eur(other) < eur(one))
    assert (eur(one) <= eur(other)) == (eur(other) >= eur(one))


@pytest.mark.parametrize("operator", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_currencies_never_mix(operator: str) -> None:
    with pytest.raises(ValueError, match="EUR and USD"):
        getattr(eur(1), operator)(Money(1, "USD"))


def test_the_same_number_in_another_currency_is_not_the_same_money() -> None:
    assert Money(0, "EUR") != Money(0, "USD")


@given(moneys)
def test_the_decimal_is_exact_and_shows_every_digit_of_the_currency(money: Money) -> None:
    decimal = money.decimal()
    assert decimal * 10 ** exponent(money.currency) == money.minor
    assert decimal.as_tuple().exponent == -exponent(money.currency)
    assert Decimal(str(money).split()[0]) == decimal


@pytest.mark.parametrize(
    ("money", "shown"),
    [
        (Money(1299, "EUR"), "12.99 EUR"),
        (Money(1300, "EUR"), "13.00 EUR"),
        (Money(5, "EUR"), "0.05 EUR"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(0, "EUR"), "0.00 EUR"),
        (Money(500, "JPY"), "500 JPY"),
        (Money(1500, "KWD"), "1.500 KWD"),
        (Money(12345, "CLF"), "1.2345 CLF"),
    ],
)
def test_money_reads_like_on_a_receipt(money: Money, shown: str) -> None:
    assert str(money) == shown


@pytest.mark.parametrize("minor", [1.0, 12.99, True, False, "1299", None, Decimal(1)])
def test_minor_units_are_an_int_and_nothing_that_resembles_one(minor: Any) -> None:
    with pytest.raises(TypeError, match="minor units"):
        Money(minor, "EUR")


@pytest.mark.parametrize("currency", ["", "EU", "EURO", "eur", "Eur", "E R", "EU1", "€€€", "ÄÖÜ", "123"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, currency)


def test_only_nothing_is_falsy() -> None:
    assert not zero("EUR")
    assert eur(1)
    assert eur(-1)
