"""Money: integer minor units and an ISO 4217 currency. There is no float anywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

from shared_lib.domain.values import Value

_CURRENCY = re.compile("[A-Z]{3}")

# ISO 4217 exponents that are not 2. A provider whose exponent differs says so in its own file.
_EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def exponent(currency: str) -> int:
    """How many decimal digits the currency has: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


@lru_cache(maxsize=512)
def _is_code(currency: str) -> bool:
    return _CURRENCY.fullmatch(currency) is not None


class Money(Value):
    """An amount in minor units (1299 EUR is 12.99 euros). Adding two currencies is a programmer's error."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:  # a float that slipped in, or a bool
            raise TypeError(f"minor units are an int, not {type(self.minor).__name__}")
        if not _is_code(self.currency):
            raise ValueError(f"not an ISO 4217 code: {self.currency!r}")

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{self.decimal()} {self.currency}"

    def decimal(self) -> Decimal:
        """The amount in major units, exact: Decimal('12.99')."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Divide by weights with the largest remainder: the parts add up to the whole, to the cent."""
        total = sum(weights)
        if total <= 0 or min(weights) < 0:
            raise ValueError("weights are not negative and not all zero")
        parts = [self.minor * weight // total for weight in weights]
        remainders = [self.minor * weight % total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
        for i in by_remainder[: self.minor - sum(parts)]:
            parts[i] += 1
        return [Money(part, self.currency) for part in parts]

    def share(self, part: int, whole: int) -> Money:
        """`part` of `whole` equal shares, rounded by largest remainder against the rest."""
        return self.split([part, whole - part])[0]

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return other.minor


def zero(currency: str) -> Money:
    """Nothing, in that currency."""
    return Money(0, currency)
