"""Stripe's amounts: integers in its own smallest units, which differ from ISO 4217 for a few currencies.

Source: Stripe's page about currencies. Our Money stays in ISO units; only this module converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from shared_lib.domain.money import Money, exponent
from shared_lib.providers.base import InvalidRequest
from shared_lib.providers.reading import MINOR_MAX, Unreadable

NAME: Final = "stripe"

_WITHOUT_DECIMALS: Final = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "JPY",
        "KMF",
        "KRW",
        "MGA",
        "PYG",
        "RWF",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]  # MGA has two in ISO 4217
)
_WITH_THREE: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])  # the last digit must be 0

# The smallest charge, in our minor units. Stripe publishes those of the first block; of the others it asks for the worth of
# 0.50 USD, for which these leave room. UGX is left out: Stripe's page contradicts itself about its decimals.
MINIMUM_MINOR: Final[Mapping[str, int]] = MappingProxyType(
    {
        "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50,
        "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300,
        "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
        "AMD": 25000, "BHD": 250, "CLP": 600, "GEL": 200, "ILS": 200, "ISK": 80, "JOD": 400, "KRW": 900,
        "KWD": 200, "KZT": 30000, "MGA": 300000, "OMR": 250, "TND": 2000, "TRY": 2500, "UAH": 2500,
        "VND": 15000, "ZAR": 1200,
    }
)  # fmt: skip


def theirs(money: Money) -> int:
    """The amount in Stripe's units. Raises InvalidRequest for one that Stripe cannot charge; nothing was sent then."""
    decimals = _decimals(money.currency)
    more = decimals - exponent(money.currency)
    units, rest = _scaled(money.minor, more)
    if rest or (decimals == 3 and units % 10):
        raise InvalidRequest(NAME, "amount_not_chargeable", f"{money} has digits that Stripe does not charge")
    return units


def ours(units: object, currency: str) -> Money:
    """Money of an amount of theirs. Raises Unreadable."""
    if not isinstance(units, int) or isinstance(units, bool) or not 0 <= units <= MINOR_MAX:
        raise Unreadable("amount")
    code = currency.upper()
    more = exponent(code) - _decimals(code)
    minor, rest = _scaled(units, more)
    if rest:
        raise Unreadable("amount")
    try:
        return Money(minor, code)
    except ValueError:
        raise Unreadable("currency") from None


def amount_in(body: Mapping[str, Any], name: str, currency: str) -> Money:
    """The amount in that field; nothing where it is null. Raises Unreadable."""
    return ours(0 if body.get(name) is None else body[name], currency)


def _scaled(amount: int, decimals: int) -> tuple[int, int]:
    """The amount with that many more decimals (fewer, if negative), and what does not fit into it."""
    return (amount * int(10**decimals), 0) if decimals >= 0 else divmod(amount, int(10**-decimals))


def _decimals(currency: str) -> int:
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 2  # ISK too: two that are always 00
