"""What YooKassa's API fixes: currencies, amounts as text, idempotency keys, instants, limits.

Source: its OpenAPI description and documentation; docs/providers.md names what differs from other providers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from shared_lib.domain.money import Money
from shared_lib.providers.base import Capabilities
from shared_lib.providers.reading import MINOR_MAX, Unreadable, mapping, text

NAME: Final = "yookassa"

LINK_LIFE: Final = timedelta(hours=1)
"""How long a customer may pay at a link, whatever was asked for; the answer does not say it."""

# All have two decimals. A shop is paid in one of them. The smallest payment is one rouble; the others are our own choice.
_CURRENCIES: Final = (
    "RUB", "EUR", "USD", "KZT", "BYN", "UAH", "UZS", "TRY", "INR", "MDL", "AZN", "AMD",
)  # fmt: skip
_MINIMUM_MINOR: Final = 100

CAPABILITIES: Final = Capabilities(
    idempotency_ttl=timedelta(hours=24),
    currencies=frozenset(_CURRENCIES),
    minimum_minor=MappingProxyType(dict.fromkeys(_CURRENCIES, _MINIMUM_MINOR)),
    max_concurrency=8,  # no rate is published
    description_max=128,
    return_url_max=2048,
    reference_max=200,
)

_AMOUNT = re.compile(r"[0-9]{1,13}\.[0-9]{2}")
_KEY = re.compile(r"[0-9A-Za-z+_.-]{1,64}")


def amount(money: Money) -> dict[str, str]:
    """{"value": "12.99", "currency": "RUB"}"""
    return {"value": f"{money.minor // 100}.{money.minor % 100:02}", "currency": money.currency}


def read_amount(body: Mapping[str, Any], name: str) -> Money:
    """Raises Unreadable."""
    it = mapping(body.get(name))
    value = text(it, "value")
    minor = int(value.replace(".", "")) if _AMOUNT.fullmatch(value) else -1
    if not 0 <= minor <= MINOR_MAX:
        raise Unreadable(name)
    try:
        return Money(minor, text(it, "currency"))
    except ValueError:
        raise Unreadable("currency") from None


def key_of(ours: str) -> str:
    """Our key as YooKassa takes it, at most 64 characters: a longer or stranger one is replaced by its UUID."""
    return ours if _KEY.fullmatch(ours) else str(uuid5(NAMESPACE_URL, f"boxoffice:{NAME}:{ours}"))


def instant_of(moment: datetime) -> str:
    """In milliseconds, rounded down: windows that touch stay windows that touch."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
