"""What the renewal tick does with every subscription whose time has come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.domain import dunning
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.subscription import (
    RENEWABLE,
    SUBSCRIPTION,
    OnMissed,
    Subscription,
    SubscriptionEvent,
    SubscriptionStatus,
    next_billing,
)
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import cycles, facts, links
from shared_lib.phases.desk import Desk
from shared_lib.phases.undecided import Undecidable
from shared_lib.store.rows.orders import lock_orders
from shared_lib.store.rows.payments import lock_payments_of
from shared_lib.store.rows.subscriptions import SUBSCRIPTIONS, subscription_of
from shared_lib.store.transaction import Transaction

# If the job that charges is lost, reconcile looks at the payment after this.
CHARGE_BY = timedelta(minutes=5)


CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRenewal:
    """One subscription that may be due. `providers`: those that can be asked; None: any."""

    subscription_id: str
    on_missed: OnMissed = OnMissed.BILL_LATEST
    providers: Collection[str] | None = None

    def can_ask(self, provider: str) -> bool:
        return self.providers is None or provider in self.providers


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`looked_at` False: it is not due (any more), or another tick works on it. The payment to charge, if any."""

    looked_at: bool
    payment_id: str | None = None


async def open_renewals(tx: Transaction, wanted: Sequence[OpenRenewal]) -> list[Opened | Undecidable]:
    """Claim due subscriptions: one order per period and one payment each, committed before anybody is charged.

    Due means due <= now. Two ticks at once share the work: what one has locked, the other skips. The payments of a
    batch are handed on in jobs of CHUNK.
    """
    rows = await tx.fetch(
        f"""
        SELECT {SUBSCRIPTIONS.select} FROM subscriptions WHERE id = ANY(%s) AND next_action_at <= %s
        ORDER BY id FOR UPDATE SKIP LOCKED
        """,
        [sorted({want.subscription_id for want in wanted}), await tx.clock()],
    )
    desk = Desk(tx)
    desk.subscriptions = {row[0]: subscription_of(row) for row in rows}
    open_orders = [s.open_order_id for s in desk.subscriptions.values() if s.open_order_id]
    orders, payments = await lock_orders(tx, open_orders), await lock_payments_of(tx, open_orders)
    desk.orders, desk.payments = await orders.values(), await payments.values()
    desk.remember()
    left = set(desk.subscriptions)
    answers = [_answer(desk, want, left) for want in wanted]
    to_charge = [one.payment_id for one in answers if isinstance(one, Opened) and one.payment_id]
    for start in range(0, len(to_charge), CHUNK):
        desk.ask_for(facts.charge_renewals_job(to_charge[start : start + CHUNK]))
    desk.write()
    return answers


def _answer(desk: Desk, want: OpenRenewal, left: set[str]) -> Opened | Undecidable:
    if want.subscription_id not in left:
        return Opened(looked_at=False)
    left.discard(want.subscription_id)  # the same one twice in a batch
    payment = _look_at(desk, desk.subscriptions[want.subscription_id], want)
    if isinstance(payment, Undecidable):
        return payment
    return Opened(looked_at=True, payment_id=payment.id if payment else None)


def _look_at(desk: Desk, subscription: Subscription, want: OpenRenewal) -> Payment | Undecidable | None:
    """One due subscription: end it, suspend it, give it up, retry it or renew it."""
    now, past_due_at = desk.now, subscription.past_due_at
    if subscription.status not in RENEWABLE:
        desk.put(replace(subscription, next_action_at=None))
        return None
    if past_due_at and now >= dunning.gives_up_at(cycles.POLICY, past_due_at):
        cycles.end(desk, subscription.id, "payment_failed", SubscriptionEvent.GAVE_UP)
        return None
    if not subscription.auto_renew:
        cycles.end(desk, subscription.id, "opted_out")
        return None
    suspended = _suspend_if_grace_is_over(desk, subscription)
    retries = bool(subscription.next_retry_at and subscription.next_retry_at <= now)
    if (retries or not subscription.open_order_id) and not want.can_ask(subscription.provider):
        return Undecidable(reason=f"the provider {subscription.provider} is not configured")
    if subscription.open_order_id is None:
        return _open_cycle(desk, suspended, want.on_missed)
    if retries:
        return _retry(desk, suspended)
    desk.put(replace(suspended, next_action_at=cycles.next_look(suspended)))
    return None


def _suspend_if_grace_is_over(desk: Desk, subscription: Subscription) -> Subscription:
    past_due_at = subscription.past_due_at
    if past_due_at is None or subscription.status is not SubscriptionStatus.PAST_DUE:
        return subscription
    if desk.now < dunning.access_until(cycles.POLICY, past_due_at):
        return subscription
    status = SUBSCRIPTION.after(subscription.status, SubscriptionEvent.GRACE_OVER)
    desk.put(replace(subscription, status=status))
    told = facts.of_subscription(
        desk.subscriptions[subscription.id],
        checkout_url=links.live_link(desk, subscription.open_order_id),
        next_retry_at=facts.instant(subscription.next_retry_at),
    )
    desk.tell_of_subscription("billing.subscription.suspended", subscription.id, told)
    return desk.subscriptions[subscription.id]


def _open_cycle(desk: Desk, subscription: Subscription, on_missed: OnMissed) -> Payment:
    billing = next_billing(subscription, desk.now, on_missed)
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
        created_at=desk.now,
        # Dunning decides how long we ask, not the clock of a checkout.
        expires_at=desk.now + timedelta(days=cycles.POLICY.cancel_days + 1),
        subscription_id=subscription.id,
        period_n=billing.period_n,
        period_start=billing.period.start,
        period_end=billing.period.end,
    )
    desk.put(order)
    desk.put(
        replace(
            subscription,
            anchor_at=billing.anchor_at,
            anchor_n=billing.anchor_n,
            open_order_id=order.id,
            next_retry_at=None,
            next_action_at=None,  # until the payment is settled
        )
    )
    desk.tell_of_order("billing.order.created", order.id, facts.of_order(order))
    return _charge(desk, subscription, order.id, attempt=1)


def _retry(desk: Desk, subscription: Subscription) -> Payment | None:
    """A new try of the open order: a new payment, so a new key. None while another one is not decided.

    Once a link was opened its customer has to pay: another link, no charge.
    """
    order_id = subscription.open_order_id or ""
    attempts = desk.payments_of(order_id)
    if any(payment.is_live for payment in attempts):
        waiting = replace(subscription, next_retry_at=None)
        desk.put(replace(waiting, next_action_at=cycles.next_look(waiting)))
        return None
    asking = replace(subscription, next_retry_at=None)
    desk.put(replace(asking, next_action_at=cycles.next_look(asking) if asking.past_due_at else None))
    if links.is_customers_turn(desk, order_id):
        links.open_link(desk, desk.orders[order_id])
        return None
    last = max((payment.attempt for payment in attempts), default=0)
    return _charge(desk, subscription, order_id, attempt=last + 1)


def _charge(desk: Desk, subscription: Subscription, order_id: str, *, attempt: int) -> Payment:
    payment = Payment(
        id=new_id("pay"),
        order_id=order_id,
        provider=subscription.provider,
        flow=PaymentFlow.CHARGE,
        status=PaymentStatus.CREATED,
        amount=subscription.amount,
        attempt=attempt,
        created_at=desk.now,
        payment_method_id=subscription.payment_method_id,
        next_check_at=desk.now + CHARGE_BY,
    )
    desk.put(payment)
    return payment
