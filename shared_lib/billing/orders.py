"""Opening an order: a request becomes an order with one payment, or is answered with the order that stands already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from shared_lib.billing import facts, jobs
from shared_lib.billing.attempts import latest_attempt, next_attempt
from shared_lib.billing.case import Case, PlaceVacated
from shared_lib.billing.context import Holder, SettlementContext
from shared_lib.billing.leasing import LeasedPayment, Purpose, take_lease
from shared_lib.billing.offers import OWNED, Offers
from shared_lib.billing.order_requests import OrderRequest
from shared_lib.billing.payments import settle
from shared_lib.billing.replies import SavedReply
from shared_lib.billing.reports import LocalOutcome, PaymentReport
from shared_lib.domain.catalog import Price, PriceKind, ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import send_again_at
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import Value
from shared_lib.ids import new_id

PAY_WITHIN: Final = timedelta(hours=24)
"""How long a checkout stays open. What is paid later is late money."""
CLOSED_WITHIN_S: Final = 15
"""Within this reconcile closes the checkout of an order that is past its time."""

_REASON: Final[Mapping[PriceKind, BillingReason]] = {
    PriceKind.PURCHASE: BillingReason.PURCHASE,
    PriceKind.RENTAL: BillingReason.RENTAL,
    PriceKind.SUBSCRIPTION: BillingReason.SUBSCRIPTION_CREATE,
}


class OpenedOrder(Value, kw_only=True):
    """`to_ask`: the payment is the caller's to ask its provider about. `reply`: the answer is decided already."""

    order: Order
    payment: Payment
    to_ask: LeasedPayment | None = None
    reply: SavedReply | None = None


# ---- an order that stands already ----------------------------------------------------------------------------


def resume_order(case: Case, order: Order, request: OrderRequest) -> tuple[Case, OpenedOrder]:
    """The first request with this key ended after its commit. What it began goes on without it, so this one is answered
    with what is true now.
    """
    payment = _latest(case, order)
    stuck = payment.status in (PaymentStatus.CREATED, PaymentStatus.SENDING)
    if stuck and not payment.lease.is_held(case.now):
        case = case.record(jobs.start_payment(payment, order, trace=request.trace))
    return case, _answered(order, payment, request)


def join_order(case: Case, order: Order, request: OrderRequest, price: Price) -> OpenedOrder | Refusal:
    """The order that has the place is the answer, if it is what was asked for and waits for its money.

    Else the customer continues or cancels it first, or owns what it was for.
    """
    if order.status is not OrderStatus.PENDING:
        return OWNED[price.kind]
    if order.expires_at <= case.now:
        closing = "An earlier order for this is being closed; ask again."
        return Refusal(Code.ORDER_OPEN, closing, retry_after_s=CLOSED_WITHIN_S, order_id=order.id)
    if order.price_id != request.price_id or all(terms.name != order.provider for terms in request.terms):
        other = "An order for this is open at another price or provider: pay for it, or cancel it."
        return Refusal(Code.ORDER_OPEN, other, order_id=order.id)
    return _answered(order, _latest(case, order), request)


def _latest(case: Case, order: Order) -> Payment:
    payment = latest_attempt(case, order)
    assert payment is not None  # an order is opened with its first payment
    return payment


def _answered(order: Order, payment: Payment, request: OrderRequest) -> OpenedOrder:
    return OpenedOrder(order=order, payment=payment, reply=request.render(order, payment))


# ---- a new order ---------------------------------------------------------------------------------------------


def open_order(
    case: Case,
    request: OrderRequest,
    price: Price,
    offers: Offers,
    *,
    order_id: str,
    former: Holder | None,
) -> tuple[Case, OpenedOrder | Refusal]:
    """Open an order in an empty case, in a place that is free. A free title is delivered at once.

    `order_id`: the new order's. `former`: the order that has the place, although what it was for is over.
    """
    waiting = offers.open.get(request.buyer.customer_id, 0)
    if waiting >= request.open_max and not price.is_free:
        too_many = f"At most {request.open_max} orders may be open: pay for one or cancel it."
        return case, Refusal(Code.TOO_MANY_OPEN_ORDERS, too_many)
    terms = offers.terms(request, price)
    if isinstance(terms, Refusal):
        return case, terms
    subscription = _subscription(case, request, price, terms, offers) if price.interval else None
    order = _order(case, request, price, subscription, order_id=order_id, provider=terms.name)
    case = case.put(subscription, order) if subscription else case.put(order)
    case = case.record(facts.order_created(order, request.trace))
    if former:
        case = case.record(PlaceVacated(former.order_id))
    charges = bool(request.payment_method_id) or price.is_free
    payment = next_attempt(
        case,
        order,
        PaymentFlow.CHARGE if charges else PaymentFlow.CHECKOUT,
        check_at=send_again_at(case.now, 2),  # by then reconcile asks, should the job be lost
        method_id=None if price.is_free else request.payment_method_id,
    )
    case = case.put(payment)
    if price.is_free:
        return _give(case, payment, request, offers)
    if request.respond_async:
        case = case.record(jobs.start_payment(payment, order, trace=request.trace))
        return case, _answered(order, payment, request)
    case, leased = take_lease(case, payment)
    return case, OpenedOrder(order=order, payment=leased, to_ask=_to_ask(case, leased, request, offers))


def _subscription(
    case: Case, request: OrderRequest, price: Price, terms: ProviderTerms, offers: Offers
) -> Subscription:
    assert price.interval is not None
    return Subscription(
        id=new_id("sub"),
        customer_id=request.buyer.customer_id,
        product_id=price.product_id,
        product_title=price.product_title,
        price_id=price.id,
        status=SubscriptionStatus.INCOMPLETE,
        amount=price.amount,
        interval=price.interval,
        time_zone=offers.buyer(request.buyer).time_zone or "UTC",
        provider=terms.name,
        auto_renew=True,
        trial_days=offers.trial_days(request, price),
        created_at=case.now,
    )


def _order(
    case: Case,
    request: OrderRequest,
    price: Price,
    subscription: Subscription | None,
    *,
    order_id: str,
    provider: str,
) -> Order:
    is_trial = subscription is not None and subscription.trial_days > 0
    return Order(
        id=order_id,
        customer_id=request.buyer.customer_id,
        price_id=price.id,
        product_id=price.product_id,
        product_title=price.product_title,
        kind=price.kind,
        billing_reason=_REASON[price.kind],
        status=OrderStatus.PENDING,
        amount=zero(price.amount.currency) if is_trial else price.amount,
        provider=provider,
        return_url=request.return_url,
        created_at=case.now,
        expires_at=case.now + PAY_WITHIN,
        subscription_id=subscription.id if subscription else None,
        holds=True,
    )


def _give(case: Case, payment: Payment, request: OrderRequest, offers: Offers) -> tuple[Case, OpenedOrder]:
    """A free title: a payment of nothing is settled like any other. The ledger has nothing to note."""
    given = PaymentReport(payment_id=payment.id, outcome=LocalOutcome.NOTHING_DUE, trace=request.trace)
    settled = settle(case, given, SettlementContext(owned=offers.owned))
    return settled.case, _answered(settled.order, settled.payment, request)


def _to_ask(case: Case, leased: Payment, request: OrderRequest, offers: Offers) -> LeasedPayment:
    return LeasedPayment(
        payment=leased,
        status_before=PaymentStatus.CREATED,
        order=case.order_of(leased),
        method=offers.method(request),
        email=offers.buyer(request.buyer).email,
        purpose=Purpose.COLLECT,
        now=case.now,
    )
