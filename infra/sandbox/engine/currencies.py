"""What this provider can charge: exponents and smallest amounts, by its own rules."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Currency:
    exponent: int
    minimum_minor: int
    sign: str


CURRENCIES = {
    "EUR": Currency(2, 50, "€"),
    "USD": Currency(2, 50, "$"),
    "GBP": Currency(2, 30, "£"),
    "CHF": Currency(2, 50, "CHF"),
    "PLN": Currency(2, 200, "zł"),
    "SEK": Currency(2, 300, "kr"),
    "RUB": Currency(2, 100, "₽"),
    "KZT": Currency(2, 10000, "₸"),
    "JPY": Currency(0, 50, "¥"),
    "KWD": Currency(3, 200, "KD"),
}


def shown(amount_minor: int, code: str) -> str:
    """For people: "€12.99", "12.99 zł"."""
    currency = CURRENCIES[code]
    amount = f"{Decimal(amount_minor).scaleb(-currency.exponent):,}"
    return f"{currency.sign}{amount}" if currency.sign in "€$£¥" else f"{amount} {currency.sign}"
