"""What must be known to sell: prices, what the customer owns already, and the methods they may pay with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared_lib.domain.catalog import Price, PriceKind, ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.phases.claims import method_of
from shared_lib.phases.wish import OpenOrder
from shared_lib.providers.base import SavedMethodRef
from shared_lib.store.rows.catalog import read_prices
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Shelf:
    """Read once for a batch of orders."""

    now: datetime
    prices: dict[str, Price]
    owned: set[tuple[str, str]]  # (customer, product) bought for good
    subscribed: set[tuple[str, str]]  # live now
    had: set[tuple[str, str]]  # ever had it, so no second trial
    methods: dict[tuple[str, str], SavedMethodRef]  # (customer, our id)

    @classmethod
    async def read(cls, tx: Transaction, wanted: Sequence[OpenOrder]) -> Shelf:
        prices = await read_prices(tx, [want.price_id for want in wanted]) if wanted else {}
        sold = [(want.buyer.customer_id, prices[want.price_id]) for want in wanted if want.price_id in prices]
        owned = {(customer, price.product_id) for customer, price in sold if price.kind is PriceKind.PURCHASE}
        plans = {(customer, price.product_id) for customer, price in sold if price.interval}
        states = await _subscriptions(tx, plans)
        return cls(
            now=tx.now,
            prices=prices,
            owned=await _purchases(tx, owned),
            subscribed={address for address, live in states.items() if live},
            had=set(states),
            methods=await _methods(tx, wanted),
        )

    def price(self, want: OpenOrder) -> Price | Refusal:
        """The price, if it is sold now and to this customer."""
        price = self.prices.get(want.price_id)
        if price is None:
            return Refusal(Code.PRICE_UNKNOWN, "There is no such price.")
        if not price.sellable_at(self.now):
            return Refusal(Code.PRICE_RETIRED, "This price is not on sale now.")
        address = want.buyer.customer_id, price.product_id
        if price.kind is PriceKind.PURCHASE and address in self.owned:
            return Refusal(Code.ALREADY_OWNED, "You have bought this title already.")
        if price.interval and address in self.subscribed:
            return Refusal(Code.ALREADY_SUBSCRIBED, "You are subscribed to this plan already.")
        if want.payment_method_id and self.method(want) is None:
            return Refusal(Code.METHOD_UNKNOWN, "There is no such payment method.")
        return price

    def terms(self, want: OpenOrder, price: Price) -> ProviderTerms | Refusal:
        """The first provider that takes the price; a saved method belongs to one provider."""
        method = self.method(want)
        trial = price.trial_days and not self.had_before(want.buyer.customer_id, price.product_id)
        amount = zero(price.amount.currency) if trial else price.amount
        able = [terms for terms in want.terms if method is None or method.provider == terms.name]
        taking = next((terms for terms in able if terms.takes(amount)), None)
        if taking is None:
            return Refusal(Code.CURRENCY_UNSUPPORTED, f"No payment provider here takes {amount.currency}.")
        if taking.too_small(amount):
            return Refusal(Code.AMOUNT_TOO_SMALL, f"{taking.name} does not take amounts this small.")
        return taking

    def method(self, want: OpenOrder) -> SavedMethodRef | None:
        return self.methods.get((want.buyer.customer_id, want.payment_method_id or ""))

    def had_before(self, customer_id: str, product_id: str) -> bool:
        return (customer_id, product_id) in self.had


async def _purchases(tx: Transaction, addresses: set[tuple[str, str]]) -> set[tuple[str, str]]:
    if not addresses:
        return set()
    rows = await tx.fetch(
        """
        SELECT customer_id, product_id FROM entitlements
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND kind = 'purchase' AND status = 'active'
        """,
        _arrays(addresses),
    )
    return {(row[0], row[1]) for row in rows}


async def _subscriptions(tx: Transaction, addresses: set[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Subscriptions that began, and whether one is live."""
    if not addresses:
        return {}
    rows = await tx.fetch(
        """
        SELECT customer_id, product_id,
               bool_or(status IN ('trialing', 'active', 'past_due', 'suspended', 'paused'))
        FROM subscriptions
        WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
          AND status NOT IN ('incomplete', 'incomplete_expired')
        GROUP BY customer_id, product_id
        """,
        _arrays(addresses),
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def _methods(tx: Transaction, wanted: Sequence[OpenOrder]) -> dict[tuple[str, str], SavedMethodRef]:
    asked = [want for want in wanted if want.payment_method_id]
    if not asked:
        return {}
    rows = await tx.fetch(
        """
        SELECT customer_id, id, provider, provider_ref, provider_customer_ref, brand, last4, expires
        FROM payment_methods
        WHERE (customer_id, id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND usable AND deleted_at IS NULL
        """,
        [[want.buyer.customer_id for want in asked], [want.payment_method_id for want in asked]],
    )
    return {(row[0], row[1]): method for row in rows if (method := method_of(row[2:]))}


def _arrays(addresses: set[tuple[str, str]]) -> list[list[str]]:
    return [[customer for customer, _ in addresses], [product for _, product in addresses]]
