"""What the cinema sells: products, and immutable prices. A changed price is a new row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from shared_lib.domain.money import Money
from shared_lib.domain.period import Interval
from shared_lib.domain.values import Value


class PriceKind(StrEnum):
    PURCHASE = "purchase"
    RENTAL = "rental"
    SUBSCRIPTION = "subscription"


class Price(Value, kw_only=True):
    """`sellable_from <= now < sellable_until`; an interval only for subscriptions; `trial_days` may be 0."""

    id: str
    product_id: str
    product_title: str
    kind: PriceKind
    amount: Money
    interval: Interval | None
    trial_days: int
    sellable_from: datetime
    sellable_until: datetime | None

    @property
    def is_free(self) -> bool:
        """A title for nothing. A plan for nothing, or its trial, still has the card verified by its provider."""
        return self.kind is not PriceKind.SUBSCRIPTION and not self.amount

    def sellable_at(self, at: datetime) -> bool:
        return self.sellable_from <= at and (self.sellable_until is None or at < self.sellable_until)


class ProviderTerms(Value, kw_only=True):
    """What a provider takes, as far as an order must know."""

    name: str
    currencies: frozenset[str]
    minimum_minor: Mapping[str, int]

    def takes(self, amount: Money) -> bool:
        return amount.currency in self.currencies

    def too_small(self, amount: Money) -> bool:
        """Zero is not too small: it verifies a card for a trial."""
        return 0 < amount.minor < self.minimum_minor.get(amount.currency, 0)


OURSELVES = ProviderTerms(name="boxoffice", currencies=frozenset(), minimum_minor={})
"""Who gives a free title: we do, in any currency. No client has this name, so it is never asked."""
