"""What customers have returned without an operator before: each title once, and a few titles within a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.order import Order
from shared_lib.domain.values import Value, field, replace


class ReturnLimit(Value, kw_only=True):
    """At most `titles_max` titles of one customer in any `window`, counted from the request."""

    titles_max: int
    window: timedelta


class Returns(Value):
    """`titles`: (customer, product) of every title ever returned. `recent`: how many in the window, by customer."""

    titles: frozenset[tuple[str, str]] = frozenset()
    recent: Mapping[str, int] = field(default_factory=dict)

    def refusal(self, order: Order, limit: ReturnLimit | None) -> Refusal | None:
        """Why its customer cannot return this title without an operator, or None."""
        if limit is None or order.kind is PriceKind.SUBSCRIPTION:
            return None
        if (order.customer_id, order.product_id) in self.titles:
            return Refusal(
                Code.REFUND_REPEATED, "You have returned this title before. Our support can help you."
            )
        if self.recent.get(order.customer_id, 0) >= limit.titles_max:
            return Refusal(
                Code.REFUND_LIMIT,
                f"At most {limit.titles_max} titles are returned in {limit.window.days} days."
                " Our support can help you.",
            )
        return None

    def learn(self, order: Order) -> Returns:
        """With this order's return: a batch counts as its items would one after the other."""
        if order.kind is PriceKind.SUBSCRIPTION:
            return self
        customer = order.customer_id
        return replace(
            self,
            titles=self.titles | {(customer, order.product_id)},
            recent={**self.recent, customer: self.recent.get(customer, 0) + 1},
        )
