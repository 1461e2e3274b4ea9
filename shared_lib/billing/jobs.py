"""Jobs for other doors, delivered by the relay. A job that is lost is found by reconcile from the rows it was about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from shared_lib.billing.events import (
    JOBS,
    ChargeRenewalsData,
    Event,
    FindRefundsData,
    JobType,
    StartPaymentData,
    StartRefundData,
    TellAutoRenewData,
    Trace,
)
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription

MAILED_AFTER: Final = timedelta(seconds=60)
"""How long a change of auto_renew must stand before it is mailed: trying the switch causes no mails."""


def start_payment(payment: Payment, order: Order, at: datetime | None = None, trace: Trace = None) -> Event:
    """Ask its provider. `at` None: at once."""
    data: StartPaymentData = {"payment_id": payment.id}
    return _job(JobType.START_PAYMENT, payment.id, order.customer_id, data, at=at, trace=trace)


def start_refund(refund: Refund, order: Order) -> Event:
    data: StartRefundData = {"refund_id": refund.id}
    return _job(JobType.START_REFUND, refund.id, order.customer_id, data)


def find_refunds(payment: Payment, order: Order) -> Event:
    data: FindRefundsData = {"payment_id": payment.id}
    return _job(JobType.FIND_REFUNDS, payment.id, order.customer_id, data)


def tell_auto_renew(subscription: Subscription, now: datetime) -> Event:
    """Mail the newest change of auto_renew, if it still stands when the job is due."""
    data: TellAutoRenewData = {
        "customer_id": subscription.customer_id,
        "subscription_id": subscription.id,
        "change": subscription.auto_renew_changes,
    }
    due = now + MAILED_AFTER
    return _job(JobType.TELL_AUTO_RENEW, subscription.id, subscription.customer_id, data, at=due)


def charge_renewals(due_id: str) -> Event:
    """Work on what is due, beside the instance that asks for it. `due_id`, a subscription that is due, only spreads the load."""
    data: ChargeRenewalsData = {"payment_ids": []}
    return _job(JobType.CHARGE_RENEWALS, due_id, due_id, data)


def _job(
    type_: JobType,
    subject: str,
    partition_key: str,
    data: Mapping[str, Any],
    *,
    at: datetime | None = None,
    trace: Trace = None,
) -> Event:
    return Event(type_, subject, partition_key, data, topic=JOBS, traceparent=trace, available_at=at)
