"""Order: what was asked for, at the price shown. The billable document."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.money import Money
from shared_lib.domain.period import Period
from shared_lib.domain.state_machine import StateMachine
from shared_lib.domain.values import Value


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    CANCELED = "canceled"
    EXPIRED = "expired"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class OrderEvent(StrEnum):
    PAYMENT_SUCCEEDED = "payment_succeeded"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REFUNDED_NOTHING = "refunded_nothing"  # a refund that had succeeded failed later
    REFUNDED_PART = "refunded_part"
    REFUNDED_ALL = "refunded_all"


class BillingReason(StrEnum):
    PURCHASE = "purchase"
    RENTAL = "rental"
    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_CYCLE = "subscription_cycle"
    SUBSCRIPTION_UPDATE = "subscription_update"


PLACED = frozenset({BillingReason.PURCHASE, BillingReason.RENTAL, BillingReason.SUBSCRIPTION_CREATE})
"""What a customer can have once at a time. The other reasons collect for a subscription that has its place already."""


class CancelReason(StrEnum):
    """Why an order was canceled, where its customer could not know."""

    TRIAL_USED = "trial_used"  # this customer or this card has had the trial of this plan


class Order(Value, kw_only=True):
    """`amount` is the catalog's price when the order was made; a trial costs nothing. Periods only for subscriptions.

    `holds`: this order has the one place that its customer has for the product and kind. It leaves the place when it ends
    unpaid, and when another order takes it because what this one was for is over.
    """

    id: str
    customer_id: str
    price_id: str
    product_id: str
    product_title: str
    kind: PriceKind
    billing_reason: BillingReason
    status: OrderStatus
    amount: Money
    provider: str
    return_url: str
    created_at: datetime
    expires_at: datetime
    subscription_id: str | None = None
    period_n: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    paid_payment_id: str | None = None
    paid_at: datetime | None = None
    holds: bool = False
    version: int = 0
    cancel_reason: CancelReason | None = None
    full_period_end: datetime | None = None  # where the period ended before refunds shortened it

    @property
    def full_period(self) -> Period | None:
        """The period that was sold, however much of it was given back."""
        if self.period_start is None or self.period_end is None:
            return None
        return Period(self.period_start, self.full_period_end or self.period_end)


Place = tuple[str, str, PriceKind]
"""Customer, product, kind: at most one order holds it."""


def place_of(order: Order) -> Place:
    return order.customer_id, order.product_id, order.kind


_S, _E = OrderStatus, OrderEvent

ORDER: StateMachine[OrderStatus, OrderEvent] = StateMachine(
    "order",
    OrderStatus.PENDING,
    {
        (_S.PENDING, _E.PAYMENT_SUCCEEDED): _S.PAID,
        (_S.PENDING, _E.CANCELED): _S.CANCELED,
        (_S.PENDING, _E.EXPIRED): _S.EXPIRED,
        # Late money outranks our clock.
        (_S.CANCELED, _E.PAYMENT_SUCCEEDED): _S.PAID,
        (_S.EXPIRED, _E.PAYMENT_SUCCEEDED): _S.PAID,
        (_S.CANCELED, _E.CANCELED): _S.CANCELED,
        (_S.CANCELED, _E.EXPIRED): _S.CANCELED,
        (_S.EXPIRED, _E.EXPIRED): _S.EXPIRED,
        (_S.EXPIRED, _E.CANCELED): _S.EXPIRED,
        (_S.PAID, _E.REFUNDED_NOTHING): _S.PAID,
        (_S.PAID, _E.REFUNDED_PART): _S.PARTIALLY_REFUNDED,
        (_S.PAID, _E.REFUNDED_ALL): _S.REFUNDED,
        (_S.PARTIALLY_REFUNDED, _E.REFUNDED_NOTHING): _S.PAID,
        (_S.PARTIALLY_REFUNDED, _E.REFUNDED_PART): _S.PARTIALLY_REFUNDED,
        (_S.PARTIALLY_REFUNDED, _E.REFUNDED_ALL): _S.REFUNDED,
        (_S.REFUNDED, _E.REFUNDED_NOTHING): _S.PAID,
        (_S.REFUNDED, _E.REFUNDED_PART): _S.PARTIALLY_REFUNDED,
        (_S.REFUNDED, _E.REFUNDED_ALL): _S.REFUNDED,
    },
)


def refund_event(captured_minor: int, refunded_minor: int) -> OrderEvent:
    """What the running total of refunds means for the order."""
    if refunded_minor <= 0:
        return OrderEvent.REFUNDED_NOTHING
    return OrderEvent.REFUNDED_ALL if refunded_minor >= captured_minor else OrderEvent.REFUNDED_PART
