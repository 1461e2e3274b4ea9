"""What must be known to sell: prices, what the customer owns already, and the methods they may pay with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared_lib.domain.catalog import OURSELVES, Price, PriceKind, ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.phases.claims import method_of
from shared_lib.phases.wish import OpenOrder
from shared_lib.providers.base import SavedMethodRef
from shared_lib.store.bulk import array_literal
from shared_lib.store.rows.catalog import PRICE, price_of
from shared_lib.store.transaction import Question, Transaction


@dataclass(frozen=True, slots=True)
class Shelf:
    """Read once for a batch of orders."""

    now: datetime
    prices: dict[str, Price]
    owned: set[tuple[str, str]]  # (customer, product) bought for good
    subscribed: set[tuple[str, str]]  # live now
    had: set[tuple[str, str]]  # ever had it, so no second trial
    methods: dict[tuple[str, str], SavedMethodRef]  # (customer, our id)
    buyers: dict[str, tuple[str | None, ...]]  # (email, locale, time zone) as we know them

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
        if price.is_free:
            return OURSELVES
        method = self.method(want)
        trial = price.trial_days and not self.had_before(want.buyer.customer_id, price.product_id)
        amount = zero(price.amount.currency) if trial else price.amount
        able = [terms for terms in want.terms if method is None or method.provider == terms.name]
        if method and not able:
            return Refusal(
                Code.PROVIDER_CLOSED, f"{method.provider}, which keeps this method, takes no orders."
            )
        taking = [terms for terms in able if terms.takes(amount)]
        if not taking:
            return Refusal(Code.CURRENCY_UNSUPPORTED, f"No payment provider here takes {amount.currency}.")
        # A trial asks for nothing now; the price that comes after it must be chargeable as well.
        charging = next((terms for terms in taking if not terms.too_small(price.amount)), None)
        if charging is None:
            return Refusal(Code.AMOUNT_TOO_SMALL, f"{taking[0].name} does not take amounts this small.")
        return charging

    def method(self, want: OpenOrder) -> SavedMethodRef | None:
        return self.methods.get((want.buyer.customer_id, want.payment_method_id or ""))

    def had_before(self, customer_id: str, product_id: str) -> bool:
        return (customer_id, product_id) in self.had


_OFFERS = f"""
    SELECT want.customer_id, {PRICE},
        prices.kind = 'purchase' AND EXISTS (
            SELECT FROM entitlements e
            WHERE e.customer_id = want.customer_id AND e.product_id = prices.product_id
              AND e.kind = 'purchase' AND e.status = 'active'),
        CASE WHEN prices.interval_unit IS NOT NULL THEN (
            SELECT bool_or(s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')) FROM subscriptions s
            WHERE s.customer_id = want.customer_id AND s.product_id = prices.product_id
              AND s.status NOT IN ('incomplete', 'incomplete_expired')) END,
        c.email, c.locale, c.time_zone
    FROM unnest(%s::text[], %s::text[]) AS want (customer_id, price_id)
    JOIN prices ON prices.id = want.price_id JOIN products ON products.id = prices.product_id
    LEFT JOIN customers c ON c.id = want.customer_id
"""


@dataclass(frozen=True, slots=True)
class AskedShelf:
    """What must be known, on its way: it travels with the claim of the keys."""

    tx: Transaction
    offers: Question
    methods: Question | None

    @classmethod
    async def of(cls, tx: Transaction, wanted: Sequence[OpenOrder]) -> AskedShelf:
        customers = array_literal([want.buyer.customer_id for want in wanted])
        offers = await tx.ask(_OFFERS, [customers, array_literal([want.price_id for want in wanted])])
        return cls(tx, offers, await _methods(tx, [want for want in wanted if want.payment_method_id]))

    async def shelf(self) -> Shelf:
        rows = await self.offers.rows()
        shelf = Shelf(self.tx.now, prices={}, owned=set(), subscribed=set(), had=set(), methods={}, buyers={})
        for row in rows:
            (customer_id, price_id, product_id), (owned, subscribed, *buyer) = row[:3], row[-5:]
            shelf.buyers[customer_id] = tuple(buyer)
            if price_id not in shelf.prices:
                shelf.prices[price_id] = price_of(row[1:])
            if owned:
                shelf.owned.add((customer_id, product_id))
            if subscribed is not None:  # it began, whatever became of it
                shelf.had.add((customer_id, product_id))
            if subscribed:
                shelf.subscribed.add((customer_id, product_id))
        for row in await self.methods.rows() if self.methods else ():
            if method := method_of(row[2:]):
                shelf.methods[row[0], row[1]] = method
        return shelf


async def _methods(tx: Transaction, asked: Sequence[OpenOrder]) -> Question | None:
    if not asked:
        return None
    return await tx.ask(
        """
        SELECT customer_id, id, provider, provider_ref, provider_customer_ref, brand, last4, expires
        FROM payment_methods
        WHERE (customer_id, id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND usable AND deleted_at IS NULL
        """,
        [[want.buyer.customer_id for want in asked], [want.payment_method_id for want in asked]],
    )
