"""What refunds do to access, and what their failure gives back. Works on rows the caller has locked."""

from __future__ import annotations

from datetime import datetime

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus, access_end, end_after_first_play
from shared_lib.domain.order import Order
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus, shortened_end
from shared_lib.domain.subscription import LIVE, Subscription, SubscriptionEvent
from shared_lib.domain.values import replace
from shared_lib.phases import cycles, facts
from shared_lib.phases.desk import Desk


def end(desk: Desk, refund: Refund) -> None:
    """The refund went back: access ends now, or earlier than was sold, or stays. All refunds of the order are on the desk."""
    entitlement, order = desk.entitlements.get(refund.order_id), desk.orders[refund.order_id]
    if entitlement is None or refund.access is RefundAccess.KEEP:
        return
    if refund.access is RefundAccess.END_NOW or order.full_period is None:
        _end_at(desk, entitlement, desk.now)
    elif (
        entitlement.ends_at and entitlement.ends_at > desk.now
    ):  # of a period that is over nothing is left to shorten
        _end_at(desk, entitlement, shortened_end(order.amount, _shortened_by(desk, order), order.full_period))


def give_back(desk: Desk, refund: Refund) -> None:
    """The money of a refund is with us again, and so is what it paid for. A subscription that ended stays ended."""
    entitlement, order = desk.entitlements.get(refund.order_id), desk.orders[refund.order_id]
    if entitlement is None or refund.access is RefundAccess.KEEP or order.paid_at is None:
        return
    if any(it.access is RefundAccess.END_NOW for it in _succeeded(desk, order)):
        return  # another one has ended access
    if order.full_period is None:
        until = access_end(entitlement.kind, order.paid_at, None)
        if entitlement.kind is PriceKind.RENTAL and entitlement.first_played_at:
            until = end_after_first_play(until, entitlement.first_played_at)
    else:
        until = shortened_end(order.amount, _shortened_by(desk, order), order.full_period)
        if not _move_period_end(desk, order, until):
            until = order.period_end  # the next period is sold already: it begins where this one was cut off
    restored = replace(entitlement, status=EntitlementStatus.ACTIVE, ends_at=until)
    desk.put(restored)
    desk.tell_of_order("billing.entitlement.changed", order.id, facts.of_entitlement(restored))


def _end_at(desk: Desk, entitlement: Entitlement, at: datetime) -> None:
    order, now = desk.orders[entitlement.order_id], at <= desk.now
    if now:
        ended = replace(entitlement, status=EntitlementStatus.REVOKED, ends_at=desk.now)
    else:
        ended = replace(entitlement, ends_at=at)
    desk.put(ended)
    kind = "revoked" if now else "changed"
    desk.tell_of_order(f"billing.entitlement.{kind}", order.id, facts.of_entitlement(ended))
    if now:
        # A customer who takes the money of the current period back does not want the next one.
        if current := _current_subscription(desk, order):
            cycles.end(desk, current.id, "refunded", SubscriptionEvent.CANCELED_NOW)
    elif _move_period_end(desk, order, at) and (current := _current_subscription(desk, order)):
        desk.put(replace(current, auto_renew=False))


def _move_period_end(desk: Desk, order: Order, until: datetime) -> bool:
    """Let the order's period end there, and its subscription renew from there. False: the next period is sold already."""
    sold = order.full_period
    subscription = desk.subscriptions.get(order.subscription_id or "")
    if sold is None or subscription is None or order.period_n != subscription.period_n:
        return False
    if subscription.open_order_id is not None:
        return False
    desk.put(replace(order, period_end=until, full_period_end=sold.end if until < sold.end else None))
    if subscription.status in LIVE:
        desk.put(replace(subscription, period_end=until, next_action_at=until))
    return True


def _current_subscription(desk: Desk, order: Order) -> Subscription | None:
    """The subscription whose current period this order paid for."""
    subscription = desk.subscriptions.get(order.subscription_id or "")
    if subscription is None or subscription.status not in LIVE or order.period_n != subscription.period_n:
        return None
    return subscription


def _shortened_by(desk: Desk, order: Order) -> int:
    return sum(it.amount.minor for it in _succeeded(desk, order) if it.access is RefundAccess.SHORTEN)


def _succeeded(desk: Desk, order: Order) -> list[Refund]:
    return [
        it
        for it in desk.refunds.values()
        if it.order_id == order.id and it.status is RefundStatus.SUCCEEDED and not it.surplus
    ]
