"""Refund: one return of part or all of one payment, reserved before its provider is asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.lease import NO_LEASE, Lease
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import Payment
from shared_lib.domain.period import SHORTEST, Period
from shared_lib.domain.state_machine import StateMachine
from shared_lib.domain.values import Value

CUSTOMER_WINDOW_DAYS = 14


class RefundStatus(StrEnum):
    AWAITING_APPROVAL = (
        "awaiting_approval"  # the amount is reserved; a second operator decides whether it is sent
    )
    REJECTED = "rejected"  # that operator refused; nothing was sent
    REQUESTED = "requested"  # the amount is reserved, nothing was sent
    SENDING = "sending"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RefundEvent(StrEnum):
    HELD = "held"  # it is above what one operator may give back alone
    APPROVED = "approved"
    REJECTED = "rejected"
    CLAIMED = "claimed"
    NOT_SENT = "not_sent"
    WENT_PENDING = "went_pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class RefundAccess(StrEnum):
    """What a refund does to what was bought."""

    END_NOW = "end_now"
    KEEP = "keep"
    SHORTEN = "shorten"  # access ends after the share of the period that stays paid


class Refund(Value, kw_only=True):
    id: str
    order_id: str
    payment_id: str
    status: RefundStatus
    amount: Money
    reason: str
    access: RefundAccess
    surplus: bool  # money that no order needs: the order it came for is not refunded by it
    requested_by: str
    created_at: datetime
    provider_ref: str | None = None
    failure_reason: str | None = None
    lease: Lease = NO_LEASE
    decided_by: str | None = None  # the second operator, who approved or rejected it
    decided_at: datetime | None = None


_S, _E = RefundStatus, RefundEvent
_ANSWERS = {_E.WENT_PENDING: _S.PENDING, _E.SUCCEEDED: _S.SUCCEEDED, _E.FAILED: _S.FAILED}

REFUND: StateMachine[RefundStatus, RefundEvent] = StateMachine(
    "refund",
    RefundStatus.REQUESTED,
    {(status, event): target for status in (_S.REQUESTED, _S.SENDING, _S.PENDING, _S.UNKNOWN)
     for event, target in _ANSWERS.items()}
    | {
        (_S.REQUESTED, _E.HELD): _S.AWAITING_APPROVAL,
        # Nothing was sent, so no report of a provider has an edge here or from REJECTED: it is an alarm.
        (_S.AWAITING_APPROVAL, _E.APPROVED): _S.REQUESTED,
        (_S.AWAITING_APPROVAL, _E.REJECTED): _S.REJECTED,
        (_S.REQUESTED, _E.CLAIMED): _S.SENDING,
        (_S.SENDING, _E.CLAIMED): _S.SENDING,
        (_S.SENDING, _E.NOT_SENT): _S.REQUESTED,
        (_S.SENDING, _E.TIMED_OUT): _S.UNKNOWN,
        (_S.PENDING, _E.TIMED_OUT): _S.PENDING,
        (_S.PENDING, _E.NOT_SENT): _S.PENDING,
        (_S.UNKNOWN, _E.CLAIMED): _S.UNKNOWN,
        (_S.UNKNOWN, _E.TIMED_OUT): _S.UNKNOWN,
        (_S.UNKNOWN, _E.NOT_SENT): _S.UNKNOWN,
        (_S.SUCCEEDED, _E.SUCCEEDED): _S.SUCCEEDED,
        (_S.SUCCEEDED, _E.WENT_PENDING): _S.SUCCEEDED,
        (_S.SUCCEEDED, _E.TIMED_OUT): _S.SUCCEEDED,
        (_S.SUCCEEDED, _E.NOT_SENT): _S.SUCCEEDED,
        (_S.SUCCEEDED, _E.FAILED): _S.FAILED,  # banks return money days later
        (_S.FAILED, _E.FAILED): _S.FAILED,
        (_S.FAILED, _E.WENT_PENDING): _S.FAILED,
        (_S.FAILED, _E.TIMED_OUT): _S.FAILED,
        (_S.FAILED, _E.NOT_SENT): _S.FAILED,
        # FAILED + SUCCEEDED has no edge: the reservation is gone, so it is an alarm until the provider is asked.
    },
)  # fmt: skip


def customer_refund(
    order: Order, entitlements: list[Entitlement], refundable: Money, now: datetime
) -> Money | Refusal:
    """How much a customer may take back by themselves: a title not yet started, a current period pro rata; 14 days."""
    if order.paid_at is None or now >= order.paid_at + timedelta(days=CUSTOMER_WINDOW_DAYS):
        return Refusal(
            Code.REFUND_WINDOW_OVER, f"Refunds are possible for {CUSTOMER_WINDOW_DAYS} days after paying."
        )
    if not refundable:
        return Refusal(Code.REFUND_TOO_MUCH, "Nothing is left to refund.")
    if order.kind is not PriceKind.SUBSCRIPTION:
        if any(entitlement.first_played_at for entitlement in entitlements):
            return Refusal(Code.REFUND_STARTED, "This title has been started, so it cannot be returned.")
        return refundable
    period = order.full_period
    if period is None:
        return refundable
    if now not in period:
        return Refusal(Code.REFUND_WINDOW_OVER, "Only the current period can be refunded.")
    # The used share stays paid whatever went back before: asking twice returns no day that was used.
    left = refundable - (order.amount - unused_share(order.amount, period, now))
    return (
        left
        if left.minor > 0
        else Refusal(Code.REFUND_TOO_MUCH, "Nothing is left to refund for this period.")
    )


def unused_share(amount: Money, period: Period, now: datetime) -> Money:
    """What the rest of the period is worth, by whole seconds and largest remainder."""
    whole = int((period.end - period.start).total_seconds())
    left = int((period.end - min(max(now, period.start), period.end)).total_seconds())
    return amount.share(left, whole)


def returned_of_price(order: Order, payment: Payment | None) -> int:
    """Minor units of the order's price that went back, without what was captured beyond it and went back as well."""
    if payment is None or payment.id != order.paid_payment_id or order.status is OrderStatus.PAID:
        return 0
    return min(payment.refunded_minor, order.amount.minor)


def shortened_end(order_amount: Money, refunded_minor: int, sold: Period) -> datetime:
    """Where access ends when `refunded_minor` of the price went back to shorten it: the share still paid for.

    Counted from the whole period that was sold, so that two refunds shorten by their sum. Less than SHORTEST is not cut off.
    """
    if order_amount.minor <= 0:
        return sold.start
    kept = max(0, order_amount.minor - refunded_minor)
    seconds = int((sold.end - sold.start).total_seconds()) * kept // order_amount.minor
    end = sold.start + timedelta(seconds=seconds)
    return end if sold.end - end > SHORTEST else sold.end
