"""What refunds do to access, and what their failure gives back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared_lib.billing import facts, renewals
from shared_lib.billing.case import Case
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus, access_end, end_after_first_play
from shared_lib.domain.order import Order
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus, shortened_end
from shared_lib.domain.subscription import LIVE, Subscription, SubscriptionEvent
from shared_lib.domain.values import replace


def end_access(case: Case, refund: Refund) -> Case:
    """The refund went back: access ends now, or earlier than was sold, or stays."""
    order = case.order_of(refund)
    entitlement = case.entitlement_of(order)
    if entitlement is None or refund.access is RefundAccess.KEEP:
        return case
    if refund.access is RefundAccess.END_NOW or order.full_period is None:
        return _end_at(case, order, entitlement, case.now)
    if entitlement.ends_at is None or entitlement.ends_at <= case.now:
        return case  # of a period that is over nothing is left to shorten
    until = shortened_end(order.amount, _shortened_by(case, order), order.full_period)
    return _end_at(case, order, entitlement, until)


def give_access_back(case: Case, refund: Refund) -> Case:
    """The refund's money is with us again, and so the customer has what it paid for. An ended subscription stays ended."""
    order = case.order_of(refund)
    entitlement = case.entitlement_of(order)
    if entitlement is None or refund.access is RefundAccess.KEEP or order.paid_at is None:
        return case
    if any(other.access is RefundAccess.END_NOW for other in _succeeded(case, order)):
        return case  # another one has ended access
    until: datetime | None
    if order.full_period is None:
        until = access_end(entitlement.kind, order.paid_at, None)
        if entitlement.kind is PriceKind.RENTAL and entitlement.first_played_at:
            until = end_after_first_play(until, entitlement.first_played_at)
    else:
        until = shortened_end(order.amount, _shortened_by(case, order), order.full_period)
        moved = _move_period_end(case, order, until)
        if moved is None:
            until = order.period_end  # the next period is sold already: it begins where this one was cut off
        case = moved or case
    restored = replace(entitlement, status=EntitlementStatus.ACTIVE, ends_at=until)
    return case.put(restored).record(facts.entitlement_changed(restored, order))


def _end_at(case: Case, order: Order, entitlement: Entitlement, at: datetime) -> Case:
    if at <= case.now:
        return _end_now(case, order, entitlement)
    ended = replace(entitlement, ends_at=at)
    case = case.put(ended).record(facts.entitlement_changed(ended, order))
    moved = _move_period_end(case, order, at)
    if moved is None:
        return case
    current = _current_subscription(moved, order)
    return moved.put(replace(current, auto_renew=False)) if current else moved


def _end_now(case: Case, order: Order, entitlement: Entitlement) -> Case:
    """A customer who takes the money of the current period back does not want the next one."""
    ended = replace(entitlement, status=EntitlementStatus.REVOKED, ends_at=case.now)
    case = case.put(ended).record(facts.entitlement_revoked(ended, order))
    current = _current_subscription(case, order)
    return renewals.end(case, current, "refunded", SubscriptionEvent.CANCELED_NOW) if current else case


def _move_period_end(case: Case, order: Order, until: datetime) -> Case | None:
    """Let the order's period end there, and its subscription renew from there. None: the next period is sold already."""
    sold, subscription = order.full_period, case.subscription
    if sold is None or subscription is None or order.period_n != subscription.period_n:
        return None
    if subscription.open_order_id is not None:
        return None
    case = case.put(replace(order, period_end=until, full_period_end=sold.end if until < sold.end else None))
    if subscription.status not in LIVE:
        return case
    return case.put(replace(subscription, period_end=until, next_action_at=until))


def _current_subscription(case: Case, order: Order) -> Subscription | None:
    """The subscription whose current period this order paid for."""
    subscription = case.subscription
    if subscription is None or subscription.status not in LIVE or order.period_n != subscription.period_n:
        return None
    return subscription


def _shortened_by(case: Case, order: Order) -> int:
    """Minor units that went back to shorten the order's period."""
    shortening = (it for it in _succeeded(case, order) if it.access is RefundAccess.SHORTEN)
    return sum(it.amount.minor for it in shortening)


def _succeeded(case: Case, order: Order) -> Sequence[Refund]:
    return [
        refund
        for refund in case.refunds.values()
        if refund.order_id == order.id and refund.status is RefundStatus.SUCCEEDED and not refund.surplus
    ]
