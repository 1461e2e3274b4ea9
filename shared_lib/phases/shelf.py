"""What must be known to sell: prices, what the customer owns or orders already, and the methods they may pay with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared_lib.domain.catalog import OURSELVES, Price, PriceKind, ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.domain.order import Place
from shared_lib.ids import before_all
from shared_lib.phases.claims import method_of
from shared_lib.phases.wish import Buyer, OpenOrder
from shared_lib.providers.base import SavedMethodRef
from shared_lib.store.bulk import array_literal
from shared_lib.store.rows.catalog import PRICE, price_of
from shared_lib.store.transaction import Question, Transaction

# A checkout stays open for a day; what is paid later is late money.
PAY_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Holder:
    """The order that has a place. `waits`: for its money; else it is paid, and perhaps over."""

    order_id: str
    waits: bool


@dataclass(frozen=True, slots=True)
class Shelf:
    """Read once for a batch of orders. `holders` and `open` grow while the batch opens some."""

    now: datetime
    prices: dict[str, Price]
    owned: set[Place]  # bought for good, rented and not over, subscribed to
    holders: dict[Place, Holder]
    open: dict[str, int]  # orders that wait for their money, by customer
    had: set[tuple[str, str]]  # ever had it, so no second trial
    methods: dict[tuple[str, str], SavedMethodRef]  # (customer, our id)
    buyers: dict[str, tuple[str | None, str | None, str | None]]  # (email, locale, time zone) as we know them

    def buyer(self, buyer: Buyer) -> Buyer:
        """The customer, with what we know beside what the token says."""
        return buyer.completed(*self.buyers.get(buyer.customer_id, (None, None, None)))

    def email(self, buyer: Buyer) -> str | None:
        """Where to write to: what the token says, else what we know."""
        return buyer.email or self.buyers.get(buyer.customer_id, (None, None, None))[0]

    def is_new(self, buyer: Buyer) -> bool:
        """Whether the token says more than we know, or we do not know the customer at all."""
        email, locale, time_zone = self.buyers.get(buyer.customer_id, (None, None, None))
        if locale is None:  # customers have one as soon as they are known
            return True
        said = ((buyer.email, email), (buyer.locale, locale), (buyer.time_zone, time_zone))
        return any(new and new != known for new, known in said)

    def price(self, want: OpenOrder) -> Price | Refusal:
        """The price, if it is sold now and to this customer."""
        price = self.prices.get(want.price_id)
        if price is None:
            return Refusal(Code.PRICE_UNKNOWN, "There is no such price.")
        if not price.sellable_at(self.now):
            return Refusal(Code.PRICE_RETIRED, "This price is not on sale now.")
        if owned := self.owned_already(want.buyer.customer_id, price):
            return owned
        if want.payment_method_id and self.method(want) is None:
            return Refusal(Code.METHOD_UNKNOWN, "There is no such payment method.")
        return price

    def owned_already(self, customer_id: str, price: Price) -> Refusal | None:
        """What is owned cannot be ordered again. What is rented may be bought, not the other way round."""
        titles = (PriceKind.PURCHASE, price.kind)
        kinds = (price.kind,) if price.kind is PriceKind.SUBSCRIPTION else titles
        found = (kind for kind in kinds if (customer_id, price.product_id, kind) in self.owned)
        return next((OWNED[kind] for kind in found), None)

    def holder(self, want: OpenOrder) -> Holder | None:
        """The order that has the place this one would need."""
        price = self.prices.get(want.price_id)
        return self.holders.get((want.buyer.customer_id, price.product_id, price.kind)) if price else None

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


OWNED = {
    PriceKind.PURCHASE: Refusal(Code.ALREADY_OWNED, "You have bought this title already."),
    PriceKind.RENTAL: Refusal(Code.ALREADY_RENTED, "You have rented this title, and the rental is not over."),
    PriceKind.SUBSCRIPTION: Refusal(Code.ALREADY_SUBSCRIBED, "You are subscribed to this plan already."),
}

# First half of the advisory locks' names, beside those of workers/shards.py; the second is of a customer.
TURN_CLASS = 7_263_004

# One customer's requests take turns, whichever process they reach: each is decided knowing what the ones before it opened.
_TURNS = f"""
    SELECT pg_advisory_xact_lock({TURN_CLASS}, turn) FROM (
        SELECT DISTINCT hashtext(customer_id) AS turn FROM unnest(%s::text[]) AS want (customer_id) ORDER BY 1
    ) AS turns
"""

_OFFERS = f"""
    SELECT want.customer_id, {PRICE}, had.bought, had.rented,
        CASE WHEN prices.interval_unit IS NOT NULL THEN coalesce((
            SELECT bool_or(s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')) FROM subscriptions s
            WHERE s.customer_id = want.customer_id AND s.product_id = prices.product_id
              AND s.status NOT IN ('incomplete', 'incomplete_expired')),
            (SELECT false FROM trials t
             WHERE t.product_id = prices.product_id AND t.identity = 'customer:' || want.customer_id)) END,
        h.id, h.status = 'pending',
        (SELECT count(*) FROM orders o
         WHERE o.customer_id = want.customer_id AND o.id > %s AND o.status = 'pending' AND o.holds),
        c.email, c.locale, c.time_zone
    FROM unnest(%s::text[], %s::text[]) AS want (customer_id, price_id)
    JOIN prices ON prices.id = want.price_id JOIN products ON products.id = prices.product_id
    LEFT JOIN LATERAL (
        SELECT bool_or(e.kind = 'purchase') AS bought, bool_or(e.kind = 'rental') AS rented FROM entitlements e
        WHERE e.customer_id = want.customer_id AND e.product_id = prices.product_id
          AND e.status = 'active' AND (e.ends_at IS NULL OR e.ends_at > boxoffice_now())
    ) AS had ON prices.interval_unit IS NULL
    LEFT JOIN LATERAL (  -- LIMIT: looked up one by one, whatever the planner believes of how many hold
        SELECT o.id, o.status FROM orders o
        WHERE o.customer_id = want.customer_id AND o.product_id = prices.product_id AND o.kind = prices.kind AND o.holds
        LIMIT 1
    ) AS h ON true
    LEFT JOIN customers c ON c.id = want.customer_id
"""


_KINDS = (PriceKind.PURCHASE, PriceKind.RENTAL, PriceKind.SUBSCRIPTION)


@dataclass(frozen=True, slots=True)
class AskedShelf:
    """What must be known, on its way: it travels with the claim of the keys."""

    tx: Transaction
    offers: Question
    methods: Question | None

    @classmethod
    async def of(cls, tx: Transaction, wanted: Sequence[OpenOrder]) -> AskedShelf:
        customers = array_literal([want.buyer.customer_id for want in wanted])
        await tx.ask(_TURNS, [customers])
        recent = before_all("ord", of_the_last=PAY_WITHIN + timedelta(hours=1))
        prices = array_literal([want.price_id for want in wanted])
        offers = await tx.ask(_OFFERS, [recent, customers, prices])
        return cls(tx, offers, await _methods(tx, [want for want in wanted if want.payment_method_id]))

    async def shelf(self) -> Shelf:
        rows = await self.offers.rows()
        shelf = Shelf(
            self.tx.now, prices={}, owned=set(), holders={}, open={}, had=set(), methods={}, buyers={}
        )
        for row in rows:
            (customer_id, price_id, product_id), had = row[:3], row[-9:-6]
            holder_id, waits, shelf.open[customer_id], *buyer = row[-6:]
            shelf.buyers[customer_id] = (buyer[0], buyer[1], buyer[2])
            if price_id not in shelf.prices:
                shelf.prices[price_id] = price_of(row[1:])
            shelf.owned.update(
                (customer_id, product_id, kind) for kind, has in zip(_KINDS, had, strict=True) if has
            )
            if had[2] is not None:  # a subscription began, whatever became of it
                shelf.had.add((customer_id, product_id))
            if holder_id:
                place = customer_id, product_id, shelf.prices[price_id].kind
                shelf.holders[place] = Holder(holder_id, waits)
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
