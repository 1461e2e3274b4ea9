"""Renewals: what becomes of the order for one more period, and of its subscription while it is not paid."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared_lib.billing import delivery, facts, links
from shared_lib.billing.case import Case
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.reason import Reason, paying_method
from shared_lib.billing.reports import PaymentReport, PaymentSnapshot
from shared_lib.domain import dunning
from shared_lib.domain.order import ORDER, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import send_again_at
from shared_lib.domain.subscription import (
    LIVE,
    RENEWABLE,
    SUBSCRIPTION,
    Subscription,
    SubscriptionEvent,
    SubscriptionStatus,
)
from shared_lib.domain.values import replace

POLICY = dunning.DEFAULT

# A charge that the provider refuses, or has never heard of when it should have, is tried so often: about 20 minutes.
TRIES_MAX = 5


# ---- the answers of a renewal's order ------------------------------------------------------------------------


def may_collect(case: Case, order: Order, payment: Payment) -> bool:
    """A period still to be paid. After an opt-out only the customer's own hand may pay it, not a charge of ours."""
    subscription = case.subscription_of(order)
    unpaid = order.period_n is not None and order.period_n > subscription.period_n
    by_customer = payment.flow is PaymentFlow.CHECKOUT
    return unpaid and subscription.status in RENEWABLE and (subscription.auto_renew or by_customer)


def may_deliver(case: Case, order: Order, payment: Payment, _context: SettlementContext) -> bool:
    return may_collect(case, order, payment)


def deliver(
    case: Case, order: Order, payment: Payment, context: SettlementContext, report: PaymentReport
) -> Case:
    """The subscription moves to the order's period."""
    case, subscription = delivery.close_others(case, payment), case.subscription_of(order)
    renewed = replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, SubscriptionEvent.PERIOD_PAID),
        period_n=order.period_n or 0,
        period_start=order.period_start,
        period_end=order.period_end,
        payment_method_id=paying_method(payment, context, report) or subscription.payment_method_id,
        open_order_id=None,
        past_due_at=None,
        next_retry_at=None,
        next_action_at=order.period_end,
    )
    paid = delivery.paid(case, order, payment)
    granted = delivery.grant(case.put(renewed), paid, payment, report.trace)
    return granted.record(facts.subscription_renewed(renewed))


def declined(
    case: Case, order: Order, payment: Payment, context: SettlementContext, report: PaymentReport
) -> tuple[Case, datetime | None]:
    """Schedule the next try, or hand the order to its customer."""
    decline = report.outcome.decline if isinstance(report.outcome, PaymentSnapshot) else None
    recent_charges = context.recent_charges.get(payment.payment_method_id or "", 0)
    return _dun(case, order, payment, recent_charges, decline.retry_after if decline else None)


def abandoned(case: Case, order: Order, payment: Payment, _event: PaymentEvent) -> Case:
    """No answer of a bank, so nothing is counted, and a charge is tried again, later each time.

    After TRIES_MAX of them the provider will not charge it at all: the customer is asked. A link that ended is
    followed by another one while the subscription is past due, until its customer or the calendar decides.
    """
    subscription = case.subscription_of(order)
    if subscription.status not in RENEWABLE or subscription.open_order_id != order.id:
        return case
    if not subscription.auto_renew:
        return end(case, subscription, "opted_out")
    if payment.flow is PaymentFlow.CHECKOUT or payment.checkout_url:
        return _link_ended(case, order, payment)
    if _canceled_charges(case, order) < TRIES_MAX:
        return _look_again(case, subscription, send_again_at(case.now, payment.attempt))
    given_up = replace(
        payment, decline_kind=DeclineKind.ACTION_REQUIRED, decline_reason=links.PROVIDER_REFUSED
    )
    case = _past_due(case.put(given_up), subscription, None, given_up)
    return links.open_link(case, order)


def not_needed(case: Case, order: Order, payment: Payment, *, as_asked: bool) -> Case:
    """Another amount was captured than was asked for: the renewal goes on like after a decline.

    Else it was under way when its customer opted out: the subscription ends.
    """
    subscription = case.subscription_of(order)
    waits = subscription.open_order_id == order.id and order.status is OrderStatus.PENDING
    if waits and not as_asked:
        return _dun(case, order, payment, 0, None)[0]
    if not subscription.auto_renew and subscription.open_order_id == order.id:
        return end(case, subscription, "opted_out")
    return case


def handed_over(case: Case, order: Order, payment: Payment) -> Case:
    """The customer is away: the link is mailed. A charge that the bank holds for them makes the subscription past due."""
    if not payment.checkout_url:
        return case
    before = (one for one in case.payments_of(order) if one.id != payment.id)
    again = any(one.checkout_url for one in before)
    why = links.why(case, payment)
    case = case.record(facts.payment_action_required(payment, order, payment.checkout_url, why, again=again))
    subscription = case.subscription_of(order)
    if payment.flow is not PaymentFlow.CHARGE or subscription.status not in RENEWABLE:
        return case
    held = replace(payment, decline_kind=DeclineKind.ACTION_REQUIRED)
    return _past_due(case, subscription, None, held)


RENEWALS = Reason(
    takes_place=False,
    customer_cancels=False,
    uses_trial=lambda _case, _order: False,
    may_collect=may_collect,
    may_deliver=may_deliver,
    deliver=deliver,
    declined=declined,
    abandoned=abandoned,
    not_needed=not_needed,
    handed_over=handed_over,
)


# ---- the subscription while it is not paid -------------------------------------------------------------------


def end(
    case: Case,
    subscription: Subscription,
    reason: str,
    event: SubscriptionEvent = SubscriptionEvent.ENDED,
) -> Case:
    """The subscription is over: no more orders, and the open one is canceled. What never began cannot end."""
    if subscription.status not in LIVE or SUBSCRIPTION.is_old_news(subscription.status, event):
        return case
    open_order = case.orders.get(subscription.open_order_id or "")
    ended = replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, event),
        open_order_id=None,
        next_retry_at=None,
        next_action_at=None,
    )
    case = case.put(ended)
    if open_order and open_order.status is OrderStatus.PENDING:
        canceled = replace(open_order, status=ORDER.after(open_order.status, OrderEvent.CANCELED))
        # Reconcile closes the link of a live attempt, or learns what became of it.
        looked_at = [
            replace(payment, lease=payment.lease.due_at(case.now))
            for payment in case.payments_of(open_order)
            if payment.is_live
        ]
        case = case.put(canceled, *looked_at).record(facts.order_canceled(canceled))
    return case.record(facts.subscription_canceled(ended, reason))


def next_look(subscription: Subscription) -> datetime | None:
    """When the tick must look at a past due subscription: the next retry, the end of grace, or giving up."""
    if subscription.past_due_at is None:
        return subscription.period_end
    looks = [dunning.gives_up_at(POLICY, subscription.past_due_at)]
    if subscription.status is SubscriptionStatus.PAST_DUE:
        looks.append(dunning.access_until(POLICY, subscription.past_due_at))
    if subscription.next_retry_at:
        looks.append(subscription.next_retry_at)
    return min(looks)


def _dun(
    case: Case, order: Order, payment: Payment, recent_charges: int, wait: timedelta | None
) -> tuple[Case, datetime | None]:
    """`wait`: the bank asked not to be asked again before."""
    subscription, kind = case.subscription_of(order), payment.decline_kind or DeclineKind.SOFT
    if subscription.status not in RENEWABLE or not subscription.auto_renew:
        return end(case, subscription, "opted_out"), None
    since, retry_at = subscription.past_due_at or case.now, None
    if payment.flow is PaymentFlow.CHARGE:
        retry_at = dunning.next_retry_at(POLICY, kind, since, case.now, recent_charges, wait=wait)
    case = _past_due(case, subscription, retry_at, payment)
    return (case if retry_at else links.open_link(case, order)), retry_at


def _past_due(case: Case, subscription: Subscription, retry_at: datetime | None, payment: Payment) -> Case:
    since = subscription.past_due_at or case.now
    late = replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, SubscriptionEvent.CHARGE_DECLINED),
        past_due_at=since,
        next_retry_at=retry_at,
    )
    late = replace(late, next_action_at=next_look(late))
    access_until = dunning.access_until(POLICY, since)
    return case.put(late).record(facts.subscription_past_due(late, payment, retry_at, access_until))


def _canceled_charges(case: Case, order: Order) -> int:
    return sum(
        payment.flow is PaymentFlow.CHARGE and payment.status is PaymentStatus.CANCELED
        for payment in case.payments_of(order)
    )


def _link_ended(case: Case, order: Order, payment: Payment) -> Case:
    subscription = case.subscription_of(order)
    if payment.status is PaymentStatus.EXPIRED:
        return _look_again(case, subscription, case.now)  # the next tick opens another one
    if not payment.checkout_url and links.is_first(case, order):
        # There is no link to mail yet, so the mail about the decline goes without one.
        access_until = dunning.access_until(POLICY, subscription.past_due_at or case.now)
        case = case.record(
            facts.subscription_past_due(subscription, payment, None, access_until, link_failed=True)
        )
    return _look_again(case, subscription, case.now + links.wait_for_next(case, order))


def _look_again(case: Case, subscription: Subscription, at: datetime) -> Case:
    waiting = replace(subscription, next_retry_at=at, next_action_at=at)
    return case.put(replace(waiting, next_action_at=next_look(waiting)) if waiting.past_due_at else waiting)
