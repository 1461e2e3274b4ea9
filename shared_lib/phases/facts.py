"""What we tell others: the data of each event. docs/events.md describes them; these functions are the only writers."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.store.outbox import JOBS, Event

TOLD_AFTER: Final = timedelta(seconds=60)
"""How long a change of auto_renew must stand before it is mailed: a customer who tries the switch gets no mails about it."""


@lru_cache(maxsize=4096)  # a batch tells of few instants, again and again
def instant(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def money(amount: Money) -> dict[str, Any]:
    return {"minor": amount.minor, "currency": amount.currency}


def of_order(order: Order, **more: Any) -> dict[str, Any]:
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
        **more,
    }


def of_payment(payment: Payment, order: Order, **more: Any) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "payment_id": payment.id,
        "customer_id": order.customer_id,
        "provider": payment.provider,
        "status": payment.status,
        "amount": money(payment.amount),
        "product_title": order.product_title,
        "subscription_id": order.subscription_id,
        **more,
    }


def of_subscription(subscription: Subscription, **more: Any) -> dict[str, Any]:
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
        **more,
    }


def of_refund(refund: Refund, order: Order) -> dict[str, Any]:
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


def of_entitlement(entitlement: Entitlement) -> dict[str, Any]:
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


def start_payment_job(
    payment: Payment, customer_id: str, at: datetime | None, trace: str | None = None
) -> Event:
    return Event(
        topic=JOBS,
        type="billing.job.start_payment",
        subject=payment.id,
        partition_key=customer_id,
        data={"payment_id": payment.id},
        available_at=at,
        traceparent=trace,
    )


def start_refund_job(refund: Refund, customer_id: str) -> Event:
    return Event(
        topic=JOBS,
        type="billing.job.start_refund",
        subject=refund.id,
        partition_key=customer_id,
        data={"refund_id": refund.id},
    )


def find_refunds_job(payment: Payment, customer_id: str) -> Event:
    return Event(
        topic=JOBS,
        type="billing.job.find_refunds",
        subject=payment.id,
        partition_key=customer_id,
        data={"payment_id": payment.id},
    )


def tell_auto_renew_job(subscription: Subscription, now: datetime) -> Event:
    """Mail the newest change of auto_renew, if it still stands when the job is due."""
    return Event(
        topic=JOBS,
        type="billing.job.tell_auto_renew",
        subject=subscription.id,
        partition_key=subscription.customer_id,
        data={
            "customer_id": subscription.customer_id,
            "subscription_id": subscription.id,
            "change": subscription.auto_renew_changes,
        },
        available_at=now + TOLD_AFTER,
    )


def charge_renewals_job(payment_ids: list[str]) -> Event:
    """One chunk. Its key only spreads the load: nothing orders one chunk against another."""
    return Event(
        topic=JOBS,
        type="billing.job.charge_renewals",
        subject=payment_ids[0],
        partition_key=payment_ids[0],
        data={"payment_ids": payment_ids},
    )
