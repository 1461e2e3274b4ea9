"""What the renewal tick does with a subscription whose time has come: end it, suspend it, give it up, retry it, renew it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from shared_lib.billing import facts, links
from shared_lib.billing.attempts import next_attempt
from shared_lib.billing.case import Case, Undecidable
from shared_lib.billing.leasing import LeaseContext, LeasedPayment, Purpose, lease_for
from shared_lib.billing.renewals import POLICY, end, next_look
from shared_lib.domain import dunning
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import PaymentFlow
from shared_lib.domain.subscription import (
    RENEWABLE,
    SUBSCRIPTION,
    Subscription,
    SubscriptionEvent,
    SubscriptionStatus,
    next_billing,
)
from shared_lib.domain.values import Value, replace
from shared_lib.ids import new_id


class RenewalRequest(Value, kw_only=True):
    """One subscription that may be due. `providers`: those that can be asked; None: any."""

    subscription_id: str
    providers: Collection[str] | None = None

    def can_ask(self, provider: str) -> bool:
        return self.providers is None or provider in self.providers


def look_at_due(
    case: Case, subscription: Subscription, request: RenewalRequest, context: LeaseContext
) -> tuple[Case, LeasedPayment | Undecidable | None]:
    """The payment that the caller is to charge, if any: made under its lease, so that one commit is enough before the
    provider is asked. A subscription that is suspended just now stays so although the rest cannot be decided.
    """
    now, past_due_at = case.now, subscription.past_due_at
    if subscription.status not in RENEWABLE:
        return case.put(replace(subscription, next_action_at=None)), None
    if past_due_at and now >= dunning.gives_up_at(POLICY, past_due_at):
        return end(case, subscription, "payment_failed", SubscriptionEvent.GAVE_UP), None
    if not subscription.auto_renew:
        return end(case, subscription, "opted_out"), None
    case, subscription = _suspend_when_grace_is_over(case, subscription)
    retries = bool(subscription.next_retry_at and subscription.next_retry_at <= now)
    opens = subscription.open_order_id is None
    if (retries or opens) and not request.can_ask(subscription.provider):
        return case, Undecidable(reason=f"the provider {subscription.provider} is not configured")
    if opens:
        return _open_period(case, subscription, context)
    if retries:
        return _retry(case, subscription, context)
    return case.put(replace(subscription, next_action_at=next_look(subscription))), None


def _suspend_when_grace_is_over(case: Case, subscription: Subscription) -> tuple[Case, Subscription]:
    past_due_at = subscription.past_due_at
    if past_due_at is None or subscription.status is not SubscriptionStatus.PAST_DUE:
        return case, subscription
    if case.now < dunning.access_until(POLICY, past_due_at):
        return case, subscription
    suspended = replace(
        subscription, status=SUBSCRIPTION.after(subscription.status, SubscriptionEvent.GRACE_OVER)
    )
    link = links.live_link(case, case.open_order)
    return case.put(suspended).record(facts.subscription_suspended(suspended, link)), suspended


def _open_period(case: Case, subscription: Subscription, context: LeaseContext) -> tuple[Case, LeasedPayment]:
    """The order for the period that is to be billed, and its first payment."""
    billing = next_billing(subscription, case.now)
    order = Order(
        id=new_id("ord"),
        customer_id=subscription.customer_id,
        price_id=subscription.price_id,
        product_id=subscription.product_id,
        product_title=subscription.product_title,
        kind=PriceKind.SUBSCRIPTION,
        billing_reason=BillingReason.SUBSCRIPTION_CYCLE,
        status=OrderStatus.PENDING,
        amount=subscription.amount,
        provider=subscription.provider,
        return_url="",
        created_at=case.now,
        # Dunning decides how long we ask, not the clock of a checkout.
        expires_at=case.now + timedelta(days=POLICY.cancel_days + 1),
        subscription_id=subscription.id,
        period_n=billing.period_n,
        period_start=billing.period.start,
        period_end=billing.period.end,
    )
    renewing = replace(
        subscription,
        anchor_at=billing.anchor_at,
        anchor_n=billing.anchor_n,
        open_order_id=order.id,
        next_retry_at=None,
        next_action_at=None,  # until the payment is settled
    )
    case = case.put(order, renewing).record(facts.order_created(order))
    return _charge(case, renewing, order, context)


def _retry(
    case: Case, subscription: Subscription, context: LeaseContext
) -> tuple[Case, LeasedPayment | None]:
    """A new try of the open order: a new payment, so a new key. None while another one is not decided.

    Once a link was opened its customer has to pay: another link, no charge.
    """
    order, waiting = case.open_order, replace(subscription, next_retry_at=None)
    assert order is not None
    if any(payment.is_live for payment in case.payments_of(order)):
        return case.put(replace(waiting, next_action_at=next_look(waiting))), None
    asking = replace(waiting, next_action_at=next_look(waiting) if waiting.past_due_at else None)
    case = case.put(asking)
    if links.is_customers_turn(case, order):
        return links.open_link(case, order), None
    return _charge(case, asking, order, context)


def _charge(
    case: Case, subscription: Subscription, order: Order, context: LeaseContext
) -> tuple[Case, LeasedPayment]:
    method_id = subscription.payment_method_id
    payment = next_attempt(case, order, PaymentFlow.CHARGE, check_at=None, method_id=method_id)
    return lease_for(case, payment, Purpose.COLLECT, context)
