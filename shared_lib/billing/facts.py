"""Facts: what has happened, for the relay to deliver. One function per type is its only writer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from shared_lib.billing.events import (
    EntitlementData,
    Event,
    FactType,
    MoneyData,
    OrderCanceledData,
    OrderData,
    OrderPaidData,
    OrderRefundedData,
    PaymentActionRequiredData,
    PaymentData,
    PaymentDeclinedData,
    RefundData,
    SubscriptionCanceledData,
    SubscriptionData,
    SubscriptionPastDueData,
    SubscriptionSuspendedData,
    Trace,
)
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import DeclineKind, Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription

# ---- orders --------------------------------------------------------------------------------------------------


def order_created(order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.ORDER_CREATED, order, of_order(order), trace)


def order_paid(order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.ORDER_PAID, order, of_paid_order(order), trace)


def order_canceled(order: Order) -> Event:
    """`reason` is what its customer could not know."""
    data: OrderCanceledData = {**of_order(order), "reason": order.cancel_reason}
    return _fact(FactType.ORDER_CANCELED, order, data)


def order_expired(order: Order) -> Event:
    return _fact(FactType.ORDER_EXPIRED, order, of_order(order))


def order_refunded(order: Order, returned: Money) -> Event:
    """`returned`: what went back altogether, without a surplus."""
    data: OrderRefundedData = {**of_order(order), "refunded": money(returned)}
    return _fact(FactType.ORDER_REFUNDED, order, data)


# ---- payments: their subject is the order --------------------------------------------------------------------


def payment_succeeded(payment: Payment, order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.PAYMENT_SUCCEEDED, order, of_payment(payment, order), trace)


def payment_declined(payment: Payment, order: Order, retry_at: datetime | None, trace: Trace = None) -> Event:
    data: PaymentDeclinedData = {
        **of_payment(payment, order),
        "decline_kind": payment.decline_kind or DeclineKind.SOFT,
        "decline_reason": payment.decline_reason,
        "next_retry_at": instant(retry_at),
    }
    return _fact(FactType.PAYMENT_DECLINED, order, data, trace)


def payment_unknown(payment: Payment, order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.PAYMENT_UNKNOWN, order, of_payment(payment, order), trace)


def payment_surplus(payment: Payment, order: Order, surplus: Money, trace: Trace = None) -> Event:
    """`surplus`: what of the payment no order needs."""
    data: PaymentData = {**of_payment(payment, order), "amount": money(surplus)}
    return _fact(FactType.PAYMENT_SURPLUS, order, data, trace)


def payment_action_required(
    payment: Payment, order: Order, checkout_url: str, why: str, *, again: bool
) -> Event:
    """`again`: the customer was sent a link for this order before."""
    data: PaymentActionRequiredData = {
        **of_payment(payment, order),
        "checkout_url": checkout_url,
        "why": why,
        "again": again,
    }
    return _fact(FactType.PAYMENT_ACTION_REQUIRED, order, data)


# ---- subscriptions -------------------------------------------------------------------------------------------


def subscription_activated(subscription: Subscription) -> Event:
    return _fact(FactType.SUBSCRIPTION_ACTIVATED, subscription, of_subscription(subscription))


def subscription_renewed(subscription: Subscription) -> Event:
    return _fact(FactType.SUBSCRIPTION_RENEWED, subscription, of_subscription(subscription))


def subscription_past_due(
    subscription: Subscription,
    payment: Payment,
    retry_at: datetime | None,
    access_until: datetime,
    *,
    link_failed: bool = False,
) -> Event:
    """`link_failed`: the page on which the customer can pay could not be opened. Else its link has a mail of its own."""
    data: SubscriptionPastDueData = {
        **of_subscription(subscription),
        "decline_kind": payment.decline_kind or DeclineKind.SOFT,
        "decline_reason": payment.decline_reason,
        "next_retry_at": instant(retry_at),
        "access_until": instant(access_until),
        "link_failed": link_failed,
    }
    return _fact(FactType.SUBSCRIPTION_PAST_DUE, subscription, data)


def subscription_suspended(subscription: Subscription, checkout_url: str | None) -> Event:
    """`checkout_url`: where the open period can be paid now."""
    data: SubscriptionSuspendedData = {
        **of_subscription(subscription),
        "checkout_url": checkout_url,
        "next_retry_at": instant(subscription.next_retry_at),
    }
    return _fact(FactType.SUBSCRIPTION_SUSPENDED, subscription, data)


def subscription_canceled(subscription: Subscription, reason: str) -> Event:
    data: SubscriptionCanceledData = {**of_subscription(subscription), "reason": reason}
    return _fact(FactType.SUBSCRIPTION_CANCELED, subscription, data)


def auto_renew_changed(subscription: Subscription) -> Event:
    return _fact(FactType.AUTO_RENEW_CHANGED, subscription, of_subscription(subscription))


# ---- refunds and entitlements: their subject is the order ----------------------------------------------------


def refund_requested(refund: Refund, order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.REFUND_REQUESTED, order, of_refund(refund, order), trace)


def refund_approved(refund: Refund, order: Order) -> Event:
    return _fact(FactType.REFUND_APPROVED, order, of_refund(refund, order))


def refund_rejected(refund: Refund, order: Order) -> Event:
    return _fact(FactType.REFUND_REJECTED, order, of_refund(refund, order))


def refund_succeeded(refund: Refund, order: Order) -> Event:
    return _fact(FactType.REFUND_SUCCEEDED, order, of_refund(refund, order))


def refund_failed(refund: Refund, order: Order) -> Event:
    return _fact(FactType.REFUND_FAILED, order, of_refund(refund, order))


def entitlement_granted(entitlement: Entitlement, order: Order, trace: Trace = None) -> Event:
    return _fact(FactType.ENTITLEMENT_GRANTED, order, of_entitlement(entitlement), trace)


def entitlement_changed(entitlement: Entitlement, order: Order) -> Event:
    return _fact(FactType.ENTITLEMENT_CHANGED, order, of_entitlement(entitlement))


def entitlement_revoked(entitlement: Entitlement, order: Order) -> Event:
    return _fact(FactType.ENTITLEMENT_REVOKED, order, of_entitlement(entitlement))


# ---- data ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)  # a batch writes the same few instants many times
def _text_of(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def instant(at: datetime | None) -> str | None:
    return _text_of(at) if at else None


def money(amount: Money) -> MoneyData:
    return {"minor": amount.minor, "currency": amount.currency}


def of_order(order: Order) -> OrderData:
    return {
        "order_id": order.id,
        "customer_id": order.customer_id,
        "status": order.status,
        "billing_reason": order.billing_reason,
        "product_id": order.product_id,
        "product_title": order.product_title,
        "price_id": order.price_id,
        "kind": order.kind,
        "amount": money(order.amount),
        "subscription_id": order.subscription_id,
        "provider": order.provider,
        "period_start": instant(order.period_start),
        "period_end": instant(order.period_end),
    }


def of_paid_order(order: Order) -> OrderPaidData:
    trial = order.kind is PriceKind.SUBSCRIPTION and not order.amount
    return {
        **of_order(order),
        "payment_id": order.paid_payment_id,
        "paid_at": instant(order.paid_at),
        "trial": trial,
    }


def of_payment(payment: Payment, order: Order) -> PaymentData:
    return {
        "order_id": order.id,
        "payment_id": payment.id,
        "customer_id": order.customer_id,
        "provider": payment.provider,
        "status": payment.status,
        "amount": money(payment.amount),
        "product_title": order.product_title,
        "subscription_id": order.subscription_id,
    }


def of_subscription(subscription: Subscription) -> SubscriptionData:
    trial = subscription.period_n == 0 and subscription.trial_days > 0
    return {
        "subscription_id": subscription.id,
        "customer_id": subscription.customer_id,
        "product_id": subscription.product_id,
        "product_title": subscription.product_title,
        "status": subscription.status,
        "auto_renew": subscription.auto_renew,
        "period_n": subscription.period_n,
        "period_start": instant(subscription.period_start),
        "period_end": instant(subscription.period_end),
        "amount": money(subscription.amount),
        "trial_end": instant(subscription.period_end) if trial else None,
    }


def of_refund(refund: Refund, order: Order) -> RefundData:
    return {
        "refund_id": refund.id,
        "order_id": order.id,
        "payment_id": refund.payment_id,
        "customer_id": order.customer_id,
        "status": refund.status,
        "amount": money(refund.amount),
        "reason": refund.reason,
        "access": refund.access,
        "surplus": refund.surplus,
        "product_title": order.product_title,
    }


def of_entitlement(entitlement: Entitlement) -> EntitlementData:
    return {
        "entitlement_id": entitlement.id,
        "order_id": entitlement.order_id,
        "customer_id": entitlement.customer_id,
        "product_id": entitlement.product_id,
        "kind": entitlement.kind,
        "status": entitlement.status,
        "starts_at": instant(entitlement.starts_at),
        "ends_at": instant(entitlement.ends_at),
    }


def _fact(
    type_: FactType, subject: Order | Subscription, data: Mapping[str, Any], trace: Trace = None
) -> Event:
    return Event(type_, subject.id, subject.customer_id, data, traceparent=trace)
