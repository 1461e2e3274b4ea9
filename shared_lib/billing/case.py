"""A case: what one lock root holds, as a value, with a journal of what its changes want written beside its rows.

The root is a subscription, or an order that belongs to none. A decision takes a case and returns one; `store/cases.py`
loads cases under lock and writes what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from shared_lib.billing.events import Event
from shared_lib.billing.reports import SavedMethodRef
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import Value, field, replace

Part = Subscription | Order | Payment | Refund | Entitlement


class MethodKept(Value):
    """A provider handed back a method for charging again: it gets a row under this id of ours."""

    id: str
    customer_id: str
    method: SavedMethodRef


class MethodDisabled(Value):
    """Its bank will not have it charged again. Its owner still sees it, and may take it away."""

    id: str


class TrialReleased(Value):
    """The order's trial does not begin, for another reason than that it was used: it may still be had."""

    order_id: str


class PlaceVacated(Value):
    """An order, perhaps of another case, leaves its place to this one, because what it was for is over."""

    order_id: str


class LogLine(Value):
    """What on-call must read. `level` is a method of the logger: "info", "warning" or "error"."""

    level: str
    event: str
    fields: Mapping[str, Any]


class Undecidable(Value, kw_only=True):
    """An answer: this row cannot be decided now, and its neighbours can. Nothing was changed."""

    reason: str


Record = LedgerEntry | Event | MethodKept | MethodDisabled | TrialReleased | PlaceVacated | LogLine


class Case(Value):
    """`now`: the instant of the decision. Of a subscription's orders it holds those that were asked for and the open one,
    each with all of its payments, refunds and its entitlement.
    """

    now: datetime
    subscription: Subscription | None = None
    orders: Mapping[str, Order] = field(default_factory=dict)
    payments: Mapping[str, Payment] = field(default_factory=dict)
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    entitlements: Mapping[str, Entitlement] = field(
        default_factory=dict
    )  # by order id: an order has at most one
    journal: tuple[Record, ...] = ()

    # ---- changes: each returns another case ------------------------------------------------------------------

    def put(self, *parts: Part) -> Case:
        """The case with these in place of their former versions, or beside the others when they are new."""
        changes: dict[str, Any] = {}
        for part in parts:
            kind = type(part)
            if kind is Subscription:
                changes["subscription"] = part
                continue
            name = _MAPPINGS[kind]
            key = part.order_id if isinstance(part, Entitlement) else part.id
            changes[name] = {**(changes.get(name) or getattr(self, name)), key: part}
        return replace(self, **changes)

    def record(self, *records: Record) -> Case:
        """The case with these records at the end of its journal. Money that is nothing moves nowhere: no ledger entry."""
        for record in records:
            if type(record) is LedgerEntry and not record.amount:
                records = tuple(one for one in records if one is not record)
        return replace(self, journal=self.journal + records)

    def log(self, level: str, event: str, /, **fields: Any) -> Case:
        return self.record(LogLine(level, event, fields))

    # ---- questions -------------------------------------------------------------------------------------------

    @property
    def root_id(self) -> str:
        """The id of what is locked first."""
        return self.subscription.id if self.subscription else next(iter(self.orders))

    @property
    def open_order(self) -> Order | None:
        """The renewal that the subscription collects now."""
        return self.orders.get((self.subscription and self.subscription.open_order_id) or "")

    def order_of(self, value: Payment | Refund | Entitlement) -> Order:
        return self.orders[value.order_id]

    def payment_of(self, refund: Refund) -> Payment:
        return self.payments[refund.payment_id]

    def subscription_of(self, order: Order) -> Subscription:
        """Raises when the order belongs to none."""
        assert self.subscription is not None
        assert order.subscription_id == self.subscription.id
        return self.subscription

    def payments_of(self, order: Order) -> Sequence[Payment]:
        """Every attempt to collect the order."""
        return [payment for payment in self.payments.values() if payment.order_id == order.id]

    def refunds_of(self, payment: Payment) -> Sequence[Refund]:
        return [refund for refund in self.refunds.values() if refund.payment_id == payment.id]

    def entitlement_of(self, order: Order) -> Entitlement | None:
        return self.entitlements.get(order.id)


_MAPPINGS: Final[Mapping[type, str]] = {
    Order: "orders",
    Payment: "payments",
    Refund: "refunds",
    Entitlement: "entitlements",
}
