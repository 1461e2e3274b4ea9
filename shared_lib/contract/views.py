"""What the API shows: one model per noun. docs/openapi.json is generated from them."""

from __future__ import annotations

from datetime import datetime

from msgspec.json import encode

from shared_lib.billing.replies import SavedReply
from shared_lib.billing.reports import LocalOutcome
from shared_lib.contract.formats import (
    Currency,
    EntitlementId,
    Link,
    MethodId,
    Name,
    OrderId,
    PaymentId,
    RefundId,
    SubscriptionId,
)
from shared_lib.contract.problems import problem_body
from shared_lib.domain.catalog import Price, PriceKind
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import Money
from shared_lib.domain.order import BillingReason, CancelReason, Order, OrderStatus
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus, returned_of_price
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import Value

Instant = datetime  # in UTC, serialized with a Z


class View(Value):
    """Every field is in every reply, null where it has no value."""


class MoneyView(View, kw_only=True):
    minor: int
    currency: Currency


class ProductView(View, kw_only=True):
    id: Name
    title: str


class PeriodView(View, kw_only=True):
    n: int
    start: Instant
    end: Instant


class PaymentView(View, kw_only=True):
    id: PaymentId
    status: PaymentStatus
    provider: Name
    decline_reason: str | None = None


class OrderView(View, kw_only=True):
    """An order. `checkout_url` is set while the customer can pay; `refunded` is the sum of its refunds so far."""

    id: OrderId
    status: OrderStatus
    billing_reason: BillingReason
    kind: PriceKind
    product: ProductView
    price_id: Name
    amount: MoneyView
    refunded: MoneyView
    checkout_url: Link | None
    payment: PaymentView | None
    subscription_id: SubscriptionId | None
    period: PeriodView | None
    created_at: Instant
    expires_at: Instant
    paid_at: Instant | None
    cancel_reason: CancelReason | None = None


class SubscriptionView(View, kw_only=True):
    """A subscription. While it is past due or suspended, either `checkout_url` is where the customer can pay the open period
    now (the card used there is saved for later periods), or `next_retry_at` is when the saved card is charged again.
    """

    id: SubscriptionId
    status: SubscriptionStatus
    product: ProductView
    amount: MoneyView
    auto_renew: bool
    period: PeriodView | None
    payment_method_id: MethodId | None
    past_due_since: Instant | None
    next_retry_at: Instant | None = None
    checkout_url: Link | None = None
    charge_in_flight: bool = False


class RefundView(View, kw_only=True):
    id: RefundId
    order_id: OrderId
    status: RefundStatus
    amount: MoneyView
    reason: str
    access: RefundAccess
    failure_reason: str | None
    created_at: Instant


class EntitlementView(View, kw_only=True):
    id: EntitlementId
    product_id: Name
    order_id: OrderId
    kind: PriceKind
    starts_at: Instant
    ends_at: Instant | None
    first_played_at: Instant | None


class PriceView(View, kw_only=True):
    id: Name
    kind: PriceKind
    product: ProductView
    amount: MoneyView
    interval: str | None
    trial_days: int


class PaymentMethodView(View, kw_only=True):
    id: MethodId
    provider: Name
    brand: str | None
    last4: str | None
    expires: str | None


class Orders(View, kw_only=True):
    """A page. Pass `next` as ?after= to get the following one."""

    items: list[OrderView]
    next: OrderId | None = None


class Subscriptions(View, kw_only=True):
    items: list[SubscriptionView]


class Entitlements(View, kw_only=True):
    items: list[EntitlementView]


class Catalog(View, kw_only=True):
    items: list[PriceView]


class PaymentMethods(View, kw_only=True):
    items: list[PaymentMethodView]


def money_view(amount: Money) -> MoneyView:
    return MoneyView(minor=amount.minor, currency=amount.currency)


def order_view(order: Order, payment: Payment | None) -> OrderView:
    # A page, or a charge that its customer confirms on one.
    has_page = payment and (
        payment.flow is PaymentFlow.CHECKOUT or payment.status is PaymentStatus.ACTION_REQUIRED
    )
    payable = has_page and order.status is OrderStatus.PENDING
    refunded = returned_of_price(order, payment)
    return OrderView(
        id=order.id,
        status=order.status,
        billing_reason=order.billing_reason,
        kind=order.kind,
        product=ProductView(id=order.product_id, title=order.product_title),
        price_id=order.price_id,
        amount=money_view(order.amount),
        refunded=MoneyView(minor=refunded, currency=order.amount.currency),
        checkout_url=payment.checkout_url if payment and payable and payment.is_live else None,
        payment=PaymentView(
            id=payment.id,
            status=payment.status,
            provider=payment.provider,
            decline_reason=payment.decline_reason,
        )
        if payment
        else None,
        subscription_id=order.subscription_id,
        period=_period(order.period_n, order.period_start, order.period_end),
        created_at=order.created_at,
        expires_at=order.expires_at,
        paid_at=order.paid_at,
        cancel_reason=order.cancel_reason,
    )


def order_reply(order: Order, payment: Payment) -> SavedReply:
    """The answer to POST /v1/orders: 201 with a link or paid, 202 while that is unknown, 402 for a decline.

    A payment that was canceled and has no id of the provider was rejected by it: 422 when a value of the customer was the reason,
    else 502, because the request of Boxoffice was wrong.
    """
    location = f"/v1/orders/{order.id}"
    if order.cancel_reason is CancelReason.TRIAL_USED:
        refusal = Refusal(
            Code.TRIAL_USED, "Nothing was charged. Order again to subscribe at the regular price."
        )
        return SavedReply(409, problem_body(refusal, order_id=order.id), location)
    if payment.status is PaymentStatus.CANCELED and payment.decline_reason == LocalOutcome.INPUT_REFUSED:
        refusal = Refusal(Code.INPUT_REFUSED, "Nothing was charged; the order is canceled.")
        return SavedReply(422, problem_body(refusal, order_id=order.id), location)
    if payment.status is PaymentStatus.CANCELED and payment.provider_ref is None:
        refusal = Refusal(
            Code.PROVIDER_REFUSED, "Nothing was charged; the order is canceled. We have been notified."
        )
        return SavedReply(502, problem_body(refusal, order_id=order.id), location)
    if payment.status is PaymentStatus.DECLINED:
        refusal = Refusal(Code.PAYMENT_DECLINED, "The payment method was declined. Try another one.")
        body = problem_body(refusal, order_id=order.id, decline_reason=payment.decline_reason)
        return SavedReply(402, body, location)
    body = encode(order_view(order, payment))
    undecided = payment.status in (PaymentStatus.CREATED, PaymentStatus.SENDING, PaymentStatus.UNKNOWN)
    return SavedReply(202 if undecided else 201, body, location)


def refund_view(refund: Refund) -> RefundView:
    return RefundView(
        id=refund.id,
        order_id=refund.order_id,
        status=refund.status,
        amount=money_view(refund.amount),
        reason=refund.reason,
        access=refund.access,
        failure_reason=refund.failure_reason,
        created_at=refund.created_at,
    )


_UNDECIDED_REFUNDS = frozenset(
    {RefundStatus.AWAITING_APPROVAL, RefundStatus.REQUESTED, RefundStatus.SENDING, RefundStatus.UNKNOWN}
)


def refund_reply(refund: Refund) -> SavedReply:
    """The answer to POST /v1/refunds: 201 when it succeeded or the provider accepted it, 202 while that is undecided."""
    undecided = refund.status in _UNDECIDED_REFUNDS
    body = encode(refund_view(refund))
    return SavedReply(202 if undecided else 201, body, f"/v1/refunds/{refund.id}")


def subscription_view(
    subscription: Subscription, *, checkout_url: str | None = None, charge_in_flight: bool = False
) -> SubscriptionView:
    return SubscriptionView(
        id=subscription.id,
        status=subscription.status,
        product=ProductView(id=subscription.product_id, title=subscription.product_title),
        amount=money_view(subscription.amount),
        auto_renew=subscription.auto_renew,
        period=_period(subscription.period_n, subscription.period_start, subscription.period_end),
        payment_method_id=subscription.payment_method_id,
        past_due_since=subscription.past_due_at,
        next_retry_at=None if checkout_url else subscription.next_retry_at,
        checkout_url=checkout_url,
        charge_in_flight=charge_in_flight,
    )


def entitlement_view(entitlement: Entitlement) -> EntitlementView:
    return EntitlementView(
        id=entitlement.id,
        product_id=entitlement.product_id,
        order_id=entitlement.order_id,
        kind=entitlement.kind,
        starts_at=entitlement.starts_at,
        ends_at=entitlement.ends_at,
        first_played_at=entitlement.first_played_at,
    )


def price_view(price: Price) -> PriceView:
    return PriceView(
        id=price.id,
        kind=price.kind,
        product=ProductView(id=price.product_id, title=price.product_title),
        amount=money_view(price.amount),
        interval=f"{price.interval.count} {price.interval.unit}" if price.interval else None,
        trial_days=price.trial_days,
    )


def _period(n: int | None, start: datetime | None, end: datetime | None) -> PeriodView | None:
    return None if n is None or start is None or end is None else PeriodView(n=n, start=start, end=end)
