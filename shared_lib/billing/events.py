"""The CloudEvents that billing writes: their types, and the data of each as a typed dictionary.

docs/events.md is generated from here. New keys may be added to data; keys never change their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypedDict

FACTS: Final = "billing.events"
"""The topic of what has happened."""
JOBS: Final = "billing.jobs"
"""The topic of what another door is to do."""

Trace = str | None
"""A W3C `traceparent`, carried from the request that began it."""


class FactType(StrEnum):
    """What has happened, within one order or one subscription."""

    ORDER_CREATED = "billing.order.created"
    ORDER_PAID = "billing.order.paid"
    ORDER_CANCELED = "billing.order.canceled"
    ORDER_EXPIRED = "billing.order.expired"
    ORDER_REFUNDED = "billing.order.refunded"
    PAYMENT_SUCCEEDED = "billing.payment.succeeded"
    PAYMENT_DECLINED = "billing.payment.declined"
    PAYMENT_UNKNOWN = "billing.payment.unknown"
    PAYMENT_SURPLUS = "billing.payment.surplus"
    PAYMENT_ACTION_REQUIRED = "billing.payment.action_required"
    SUBSCRIPTION_ACTIVATED = "billing.subscription.activated"
    SUBSCRIPTION_RENEWED = "billing.subscription.renewed"
    SUBSCRIPTION_PAST_DUE = "billing.subscription.past_due"
    SUBSCRIPTION_SUSPENDED = "billing.subscription.suspended"
    SUBSCRIPTION_CANCELED = "billing.subscription.canceled"
    AUTO_RENEW_CHANGED = "billing.subscription.auto_renew_changed"
    REFUND_REQUESTED = "billing.refund.requested"
    REFUND_APPROVED = "billing.refund.approved"
    REFUND_REJECTED = "billing.refund.rejected"
    REFUND_SUCCEEDED = "billing.refund.succeeded"
    REFUND_FAILED = "billing.refund.failed"
    ENTITLEMENT_GRANTED = "billing.entitlement.granted"
    ENTITLEMENT_CHANGED = "billing.entitlement.changed"
    ENTITLEMENT_REVOKED = "billing.entitlement.revoked"


class JobType(StrEnum):
    """What another door is to do."""

    START_PAYMENT = "billing.job.start_payment"
    CHARGE_RENEWALS = "billing.job.charge_renewals"
    START_REFUND = "billing.job.start_refund"
    FIND_REFUNDS = "billing.job.find_refunds"
    SEND_NOTIFICATION = "billing.job.send_notification"
    TELL_AUTO_RENEW = "billing.job.tell_auto_renew"


class Event(NamedTuple):
    """One CloudEvent to be written. `sequence` counts the facts of its subject, and is given when a case is written; jobs
    have none.
    """

    type: str
    subject: str
    partition_key: str
    data: Mapping[str, Any]
    sequence: int | None = None
    topic: str = FACTS
    traceparent: Trace = None
    available_at: datetime | None = None  # None: at once


# ---- data ----------------------------------------------------------------------------------------------------
# Instants are ISO 8601 in UTC.


class MoneyData(TypedDict):
    minor: int
    currency: str


class OrderData(TypedDict):
    order_id: str
    customer_id: str
    status: str
    billing_reason: str
    product_id: str
    product_title: str
    price_id: str
    kind: str
    amount: MoneyData
    subscription_id: str | None
    provider: str
    period_start: str | None
    period_end: str | None


class OrderPaidData(OrderData):
    payment_id: str | None
    paid_at: str | None
    trial: bool


class OrderCanceledData(OrderData):
    reason: str | None


class OrderRefundedData(OrderData):
    refunded: MoneyData


class PaymentData(TypedDict):
    order_id: str
    payment_id: str
    customer_id: str
    provider: str
    status: str
    amount: MoneyData
    product_title: str
    subscription_id: str | None


class PaymentDeclinedData(PaymentData):
    decline_kind: str
    decline_reason: str | None
    next_retry_at: str | None


class PaymentActionRequiredData(PaymentData):
    checkout_url: str
    why: str
    again: bool


class SubscriptionData(TypedDict):
    subscription_id: str
    customer_id: str
    product_id: str
    product_title: str
    status: str
    auto_renew: bool
    period_n: int
    period_start: str | None
    period_end: str | None
    amount: MoneyData
    trial_end: str | None


class SubscriptionPastDueData(SubscriptionData):
    decline_kind: str
    decline_reason: str | None
    next_retry_at: str | None
    access_until: str | None
    link_failed: bool


class SubscriptionSuspendedData(SubscriptionData):
    checkout_url: str | None
    next_retry_at: str | None


class SubscriptionCanceledData(SubscriptionData):
    reason: str


class RefundData(TypedDict):
    refund_id: str
    order_id: str
    payment_id: str
    customer_id: str
    status: str
    amount: MoneyData
    reason: str
    access: str
    surplus: bool
    product_title: str


class EntitlementData(TypedDict):
    entitlement_id: str
    order_id: str
    customer_id: str
    product_id: str
    kind: str
    status: str
    starts_at: str | None
    ends_at: str | None


class StartPaymentData(TypedDict):
    payment_id: str


class ChargeRenewalsData(TypedDict):
    payment_ids: list[str]


class StartRefundData(TypedDict):
    refund_id: str


class FindRefundsData(TypedDict):
    payment_id: str


class TellAutoRenewData(TypedDict):
    customer_id: str
    subscription_id: str
    change: int


DATA: Final[Mapping[FactType, type]] = {
    FactType.ORDER_CREATED: OrderData,
    FactType.ORDER_PAID: OrderPaidData,
    FactType.ORDER_CANCELED: OrderCanceledData,
    FactType.ORDER_EXPIRED: OrderData,
    FactType.ORDER_REFUNDED: OrderRefundedData,
    FactType.PAYMENT_SUCCEEDED: PaymentData,
    FactType.PAYMENT_DECLINED: PaymentDeclinedData,
    FactType.PAYMENT_UNKNOWN: PaymentData,
    FactType.PAYMENT_SURPLUS: PaymentData,
    FactType.PAYMENT_ACTION_REQUIRED: PaymentActionRequiredData,
    FactType.SUBSCRIPTION_ACTIVATED: SubscriptionData,
    FactType.SUBSCRIPTION_RENEWED: SubscriptionData,
    FactType.SUBSCRIPTION_PAST_DUE: SubscriptionPastDueData,
    FactType.SUBSCRIPTION_SUSPENDED: SubscriptionSuspendedData,
    FactType.SUBSCRIPTION_CANCELED: SubscriptionCanceledData,
    FactType.AUTO_RENEW_CHANGED: SubscriptionData,
    FactType.REFUND_REQUESTED: RefundData,
    FactType.REFUND_APPROVED: RefundData,
    FactType.REFUND_REJECTED: RefundData,
    FactType.REFUND_SUCCEEDED: RefundData,
    FactType.REFUND_FAILED: RefundData,
    FactType.ENTITLEMENT_GRANTED: EntitlementData,
    FactType.ENTITLEMENT_CHANGED: EntitlementData,
    FactType.ENTITLEMENT_REVOKED: EntitlementData,
}
"""The data of each fact."""
