"""What can be sold to a batch of customers: prices, what they own or order already, and the methods they may pay with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shared_lib.billing.context import Holder
from shared_lib.billing.order_requests import Buyer, OrderRequest
from shared_lib.billing.reports import SavedMethodRef
from shared_lib.domain.catalog import OURSELVES, Price, PriceKind, ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.domain.order import Order, OrderStatus, Place, place_of
from shared_lib.domain.values import Value, field, replace

OWNED: Final[Mapping[PriceKind, Refusal]] = {
    PriceKind.PURCHASE: Refusal(Code.ALREADY_OWNED, "You have bought this title already."),
    PriceKind.RENTAL: Refusal(Code.ALREADY_RENTED, "You have rented this title, and the rental is not over."),
    PriceKind.SUBSCRIPTION: Refusal(Code.ALREADY_SUBSCRIBED, "You are subscribed to this plan already."),
}


class Offers(Value, kw_only=True):
    """Read once for a batch. `owned`, `holders` and `open` change while the batch opens orders: see `learn`."""

    now: datetime
    prices: Mapping[str, Price] = field(default_factory=dict)
    owned: frozenset[Place] = frozenset()  # bought, rented and not over, subscribed to
    holders: Mapping[Place, Holder] = field(default_factory=dict)
    open: Mapping[str, int] = field(default_factory=dict)  # orders that wait for their money, by customer
    subscribed_before: frozenset[tuple[str, str]] = frozenset()
    """(customer, product) whose subscription began once, whatever became of it: no second trial."""
    methods: Mapping[tuple[str, str], SavedMethodRef] = field(default_factory=dict)  # by (customer, our id)
    buyers: Mapping[str, Buyer] = field(default_factory=dict)  # as stored, by customer

    def price(self, request: OrderRequest) -> Price | Refusal:
        """The price, if it is sold now and to this customer."""
        price = self.prices.get(request.price_id)
        if price is None:
            return Refusal(Code.PRICE_UNKNOWN, "There is no such price.")
        if not price.sellable_at(self.now):
            return Refusal(Code.PRICE_RETIRED, "This price is not on sale now.")
        if owned := self._owned_already(request.buyer.customer_id, price):
            return owned
        if request.payment_method_id and self.method(request) is None:
            return Refusal(Code.METHOD_UNKNOWN, "There is no such payment method.")
        return price

    def holder(self, request: OrderRequest) -> Holder | None:
        """The order that has the place which an order for this price would need."""
        price = self.prices.get(request.price_id)
        if price is None:
            return None
        return self.holders.get((request.buyer.customer_id, price.product_id, price.kind))

    def terms(self, request: OrderRequest, price: Price) -> ProviderTerms | Refusal:
        """The first provider that takes the price; a saved method belongs to one provider."""
        if price.is_free:
            return OURSELVES
        method = self.method(request)
        trial = self.trial_days(request, price) > 0
        amount = zero(price.amount.currency) if trial else price.amount
        able = [terms for terms in request.terms if method is None or method.provider == terms.name]
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

    def trial_days(self, request: OrderRequest, price: Price) -> int:
        """How many days the customer would try the plan for nothing."""
        had = (request.buyer.customer_id, price.product_id) in self.subscribed_before
        return 0 if had else price.trial_days

    def method(self, request: OrderRequest) -> SavedMethodRef | None:
        """The saved method that the request names, if it is the customer's and may be charged."""
        return self.methods.get((request.buyer.customer_id, request.payment_method_id or ""))

    def buyer(self, buyer: Buyer) -> Buyer:
        """The customer, with what is stored beside what the token says."""
        return buyer.completed(self.buyers.get(buyer.customer_id))

    def says_more(self, buyer: Buyer) -> bool:
        """Whether the token says more than what is stored, or the customer is not stored at all."""
        known = self.buyers.get(buyer.customer_id)
        if known is None:
            return True
        said = (
            (buyer.email, known.email),
            (buyer.locale, known.locale),
            (buyer.time_zone, known.time_zone),
        )
        return any(new and new != stored for new, stored in said)

    def learn(self, order: Order) -> Offers:
        """The offers for the next request of the batch: with the place that this order, just opened, has taken."""
        place, waits = place_of(order), order.status is OrderStatus.PENDING
        waiting = self.open.get(order.customer_id, 0) + waits
        return replace(
            self,
            owned=self.owned | {place} if order.paid_at else self.owned,
            holders={**self.holders, place: Holder(order.id, waits)},
            open={**self.open, order.customer_id: waiting},
        )

    def _owned_already(self, customer_id: str, price: Price) -> Refusal | None:
        """What is owned cannot be ordered again. What is rented may be bought, not the other way round."""
        titles = (PriceKind.PURCHASE, price.kind)
        kinds = (price.kind,) if price.kind is PriceKind.SUBSCRIPTION else titles
        found = (kind for kind in kinds if (customer_id, price.product_id, kind) in self.owned)
        return next((OWNED[kind] for kind in found), None)
