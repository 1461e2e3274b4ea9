"""The start of a subscription: what becomes of its first order, and of a trial."""

from __future__ import annotations

from datetime import datetime

from shared_lib.billing import delivery, facts
from shared_lib.billing.case import Case
from shared_lib.billing.closing import close_unpaid, closing_event
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.links import open_page_to_confirm
from shared_lib.billing.reason import Reason, paying_method
from shared_lib.billing.reports import PaymentReport
from shared_lib.domain.order import CancelReason, Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import Payment, PaymentEvent
from shared_lib.domain.subscription import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus, start
from shared_lib.domain.values import replace


def uses_trial(case: Case, order: Order) -> bool:
    return case.subscription_of(order).trial_days > 0


def may_deliver(case: Case, order: Order, _payment: Payment, context: SettlementContext) -> bool:
    """The first payment of a subscription that has not begun, in a place that is free."""
    subscription = case.subscription_of(order)
    event = SubscriptionEvent.TRIAL_STARTED if subscription.trial_days else SubscriptionEvent.PERIOD_PAID
    may_start = subscription.anchor_at is None and SUBSCRIPTION.allows(subscription.status, event)
    return may_start and context.may_take(case, order)


def deliver(
    case: Case, order: Order, payment: Payment, context: SettlementContext, report: PaymentReport
) -> Case:
    """The subscription begins with its trial, or with the period that is paid."""
    case, subscription = delivery.close_others(case, payment), case.subscription_of(order)
    first = start(subscription, case.now)
    order = replace(
        delivery.paid(case, order, payment),
        period_n=first.period_n,
        period_start=first.period.start,
        period_end=first.period.end,
    )
    begun = replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, first.status_event),
        anchor_at=first.anchor_at,
        anchor_n=0,
        period_n=first.period_n,
        period_start=first.period.start,
        period_end=first.period.end,
        payment_method_id=paying_method(payment, context, report) or subscription.payment_method_id,
        open_order_id=None,
        past_due_at=None,
        next_retry_at=None,
        next_action_at=first.period.end,
    )
    case, order = delivery.take_place(case.put(begun), order, context)
    return delivery.grant(case, order, payment, report.trace).record(facts.subscription_activated(begun))


def declined(
    case: Case, order: Order, payment: Payment, _context: SettlementContext, report: PaymentReport
) -> tuple[Case, datetime | None]:
    """A page for the same order where that can help, else the order ends."""
    page = open_page_to_confirm(case, order, payment, report.trace)
    return page or close(case, order, OrderEvent.CANCELED), None


def abandoned(case: Case, order: Order, _payment: Payment, event: PaymentEvent) -> Case:
    return close(case, order, closing_event(case, order, event))


def not_needed(case: Case, order: Order, _payment: Payment, *, as_asked: bool) -> Case:  # noqa: ARG001  # as for a renewal
    """An order that waited for this money waits no longer."""
    return close(case, order, OrderEvent.CANCELED) if order.status is OrderStatus.PENDING else case


def refuse_trial(case: Case, order: Order, payment: Payment) -> Case:
    """The trial was used before: the order ends without access. What it has claimed stays claimed, so the customer's next
    order is at the full price.
    """
    return close(
        case.put(replace(payment, surplus=True)), order, OrderEvent.CANCELED, CancelReason.TRIAL_USED
    )


def close(case: Case, order: Order, event: OrderEvent, reason: CancelReason | None = None) -> Case:
    """The order ends unpaid, and with it a subscription that never began."""
    closed, subscription = close_unpaid(case, order, event, reason), case.subscription_of(order)
    if closed is case or subscription.status is not SubscriptionStatus.INCOMPLETE:
        return closed
    gone = SUBSCRIPTION.after(subscription.status, SubscriptionEvent.CHECKOUT_ABANDONED)
    return closed.put(replace(subscription, status=gone))


STARTS = Reason(
    takes_place=True,
    customer_cancels=True,
    uses_trial=uses_trial,
    may_collect=lambda _case, _order, _payment: True,
    may_deliver=may_deliver,
    deliver=deliver,
    declined=declined,
    abandoned=abandoned,
    not_needed=not_needed,
    handed_over=lambda case, _order, _payment: case,  # the customer is on the page already
)
