"""What payments of a subscription's orders do to the subscription. Works on rows the caller has locked."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared_lib.domain import dunning
from shared_lib.domain.order import ORDER, BillingReason, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import send_again_at
from shared_lib.domain.subscription import (
    LIVE,
    RENEWABLE,
    SUBSCRIPTION,
    Subscription,
    SubscriptionEvent,
    start,
)
from shared_lib.domain.values import replace
from shared_lib.phases import facts, links
from shared_lib.phases.desk import Desk

POLICY = dunning.DEFAULT

# A charge that the provider refuses, or has never heard of when it should have, is tried so often: about 20 minutes.
TRIES_MAX = 5


def of(desk: Desk, order: Order) -> Subscription:
    assert order.subscription_id is not None  # a subscription's order names it
    return desk.subscriptions[order.subscription_id]


def may_start(desk: Desk, order: Order) -> bool:
    """The first payment of a subscription that has not begun."""
    subscription = of(desk, order)
    event = SubscriptionEvent.TRIAL_STARTED if subscription.trial_days else SubscriptionEvent.PERIOD_PAID
    return subscription.anchor_at is None and SUBSCRIPTION.allows(subscription.status, event)


def may_renew(desk: Desk, order: Order, *, by_customer: bool) -> bool:
    """A period still to be paid. After an opt-out only the customer's own hand may pay it, not a charge of ours."""
    subscription = of(desk, order)
    unpaid = order.period_n is not None and order.period_n > subscription.period_n
    return unpaid and subscription.status in RENEWABLE and (subscription.auto_renew or by_customer)


def paid(desk: Desk, order_id: str, method_id: str | None) -> None:
    """The order's money is here: begin the subscription, or move it to the order's period."""
    order = desk.orders[order_id]
    subscription = of(desk, order)
    if order.billing_reason is BillingReason.SUBSCRIPTION_CREATE:
        first = start(subscription, desk.now)
        order = replace(
            order, period_n=first.period_n, period_start=first.period.start, period_end=first.period.end
        )
        desk.put(order)
        subscription = replace(subscription, anchor_at=first.anchor_at, anchor_n=0)
        event = first.status_event
    else:
        event = SubscriptionEvent.PERIOD_PAID
    desk.put(
        replace(
            subscription,
            status=SUBSCRIPTION.after(subscription.status, event),
            period_n=order.period_n or 0,
            period_start=order.period_start,
            period_end=order.period_end,
            payment_method_id=method_id or subscription.payment_method_id,
            open_order_id=None,
            past_due_at=None,
            next_retry_at=None,
            next_action_at=order.period_end,
        )
    )


def tell_paid(desk: Desk, order: Order) -> None:
    first = order.billing_reason is BillingReason.SUBSCRIPTION_CREATE
    _tell(desk, order, "activated" if first else "renewed")


def declined(desk: Desk, payment: Payment, recent_charges: int, wait: timedelta | None) -> datetime | None:
    """A renewal was declined: schedule the next try, or hand it to the customer. Returns when we try again.

    `wait`: the bank asked not to be asked again before.
    """
    order = desk.orders[payment.order_id]
    subscription, kind = of(desk, order), payment.decline_kind or DeclineKind.SOFT
    if subscription.status not in RENEWABLE or not subscription.auto_renew:
        end(desk, order.subscription_id or "", "opted_out")
        return None
    past_due_at, retry_at = subscription.past_due_at or desk.now, None
    if payment.flow is PaymentFlow.CHARGE:
        retry_at = dunning.next_retry_at(POLICY, kind, past_due_at, desk.now, recent_charges, wait=wait)
    _past_due(desk, subscription, past_due_at, retry_at, payment)
    if retry_at is None:
        links.open_link(desk, order)
    return retry_at


def waits_for_customer(desk: Desk, payment: Payment) -> None:
    """The provider holds the charge until the customer confirms it."""
    subscription = of(desk, desk.orders[payment.order_id])
    held = replace(payment, decline_kind=DeclineKind.ACTION_REQUIRED)
    _past_due(desk, subscription, subscription.past_due_at or desk.now, None, held)


def came_to_nothing(desk: Desk, payment: Payment) -> None:
    """A try ended without an answer from the bank: nothing is counted, and a charge is tried again, later each time.

    After TRIES_MAX of them the provider will not charge it at all: the customer is asked. A link that ended is
    followed by another one while the subscription is past due, until its customer or the calendar decides.
    """
    order = desk.orders[payment.order_id]
    subscription = of(desk, order)
    if subscription.status not in RENEWABLE or subscription.open_order_id != order.id:
        return
    if not subscription.auto_renew:
        end(desk, subscription.id, "opted_out")
    elif payment.flow is PaymentFlow.CHECKOUT or payment.checkout_url:
        _link_ended(desk, subscription, payment)
    elif _tries_in_vain(desk, order.id) >= TRIES_MAX:
        given_up = replace(
            payment, decline_kind=DeclineKind.ACTION_REQUIRED, decline_reason=links.PROVIDER_REFUSED
        )
        desk.put(given_up)
        _past_due(desk, subscription, subscription.past_due_at or desk.now, None, given_up)
        links.open_link(desk, order)
    else:
        _look_again(desk, subscription, send_again_at(desk.now, payment.attempt))


def _tries_in_vain(desk: Desk, order_id: str) -> int:
    return sum(
        1
        for payment in desk.payments_of(order_id)
        if payment.flow is PaymentFlow.CHARGE and payment.status is PaymentStatus.CANCELED
    )


def _link_ended(desk: Desk, subscription: Subscription, payment: Payment) -> None:
    if payment.status is PaymentStatus.EXPIRED:
        _look_again(desk, subscription, desk.now)  # the next tick opens another one
        return
    if not payment.checkout_url and links.is_first(desk, payment.order_id):
        # There is no link to mail yet, so the mail about the decline goes without one.
        _tell_past_due(desk, subscription, None, payment, link_failed=True)
    _look_again(
        desk, desk.subscriptions[subscription.id], desk.now + links.wait_for_next(desk, payment.order_id)
    )


def _look_again(desk: Desk, subscription: Subscription, at: datetime) -> None:
    waiting = replace(subscription, next_retry_at=at, next_action_at=at)
    desk.put(replace(waiting, next_action_at=next_look(waiting)) if waiting.past_due_at else waiting)


def unwanted(desk: Desk, order_id: str) -> None:
    """A charge that was already under way when the customer opted out: it goes back, and the subscription ends."""
    subscription = of(desk, desk.orders[order_id])
    if not subscription.auto_renew and subscription.open_order_id == order_id:
        end(desk, subscription.id, "opted_out")


def end(
    desk: Desk, subscription_id: str, reason: str, event: SubscriptionEvent = SubscriptionEvent.ENDED
) -> None:
    """The subscription is over: no more orders, and the open one is canceled. What never began cannot end."""
    subscription = desk.subscriptions[subscription_id]
    if subscription.status not in LIVE or SUBSCRIPTION.is_old_news(subscription.status, event):
        return
    status = SUBSCRIPTION.after(subscription.status, event)
    open_order = desk.orders.get(subscription.open_order_id or "")
    desk.put(
        replace(
            subscription,
            status=status,
            open_order_id=None,
            next_retry_at=None,
            next_action_at=None,
        )
    )
    if open_order and open_order.status is OrderStatus.PENDING:
        canceled = replace(open_order, status=ORDER.after(open_order.status, OrderEvent.CANCELED))
        desk.put(canceled)
        desk.tell_of_order("billing.order.canceled", open_order.id, facts.of_order(canceled, reason=None))
        for payment in desk.payments_of(open_order.id):
            if payment.is_live:  # reconcile closes its link, or learns what became of it
                desk.put(replace(payment, next_check_at=desk.now))
    ended = facts.of_subscription(desk.subscriptions[subscription_id], reason=reason)
    desk.tell_of_subscription("billing.subscription.canceled", subscription_id, ended)


def next_look(subscription: Subscription) -> datetime | None:
    """When the tick must look at a past due subscription: the next retry, the end of grace, or giving up."""
    if subscription.past_due_at is None:
        return subscription.period_end
    looks = [dunning.gives_up_at(POLICY, subscription.past_due_at)]
    if subscription.status.value == "past_due":
        looks.append(dunning.access_until(POLICY, subscription.past_due_at))
    if subscription.next_retry_at:
        looks.append(subscription.next_retry_at)
    return min(looks)


def _past_due(
    desk: Desk, subscription: Subscription, since: datetime, retry_at: datetime | None, payment: Payment
) -> None:
    late = replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, SubscriptionEvent.CHARGE_DECLINED),
        past_due_at=since,
        next_retry_at=retry_at,
    )
    late = replace(late, next_action_at=next_look(late))
    desk.put(late)
    _tell_past_due(desk, late, retry_at, payment)


def _tell_past_due(
    desk: Desk,
    subscription: Subscription,
    retry_at: datetime | None,
    payment: Payment,
    *,
    link_failed: bool = False,
) -> None:
    """`link_failed`: the page on which the customer can pay could not be opened. Else its link has a mail of its own."""
    since = subscription.past_due_at or desk.now
    told = facts.of_subscription(
        subscription,
        decline_kind=payment.decline_kind or DeclineKind.SOFT,
        decline_reason=payment.decline_reason,
        next_retry_at=facts.instant(retry_at),
        access_until=facts.instant(dunning.access_until(POLICY, since)),
        link_failed=link_failed,
    )
    desk.tell_of_subscription("billing.subscription.past_due", subscription.id, told)


def _tell(desk: Desk, order: Order, what: str) -> None:
    subscription = of(desk, order)
    desk.tell_of_subscription(
        f"billing.subscription.{what}", subscription.id, facts.of_subscription(subscription)
    )
