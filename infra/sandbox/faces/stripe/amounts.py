"""Stripe's units: as the engine's for most currencies. ISK has two decimals that are 00, the third of KWD is 0."""

from __future__ import annotations

from infra.sandbox.engine.currencies import CURRENCIES


def minor_of(units: int, currency: str) -> int:
    """The engine's amount. Raises ValueError for one that Stripe does not take."""
    if currency == "ISK":
        if units % 100:
            raise ValueError("ISK amounts have no decimals: the last two digits are 00")
        return units // 100
    if CURRENCIES[currency].exponent == 3 and units % 10:
        raise ValueError("three-decimal amounts end with 0")
    return units


def units_of(minor: int, currency: str) -> int:
    return minor * 100 if currency == "ISK" else minor
