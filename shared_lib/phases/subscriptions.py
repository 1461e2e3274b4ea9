"""What a customer decides about a subscription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.payment import PaymentFlow, PaymentStatus
from shared_lib.domain.subscription import LIVE, Subscription, SubscriptionStatus
from shared_lib.domain.values import replace
from shared_lib.phases import cycles, facts, links
from shared_lib.phases.desk import Desk
from shared_lib.store.rows.subscriptions import lock_subscriptions
from shared_lib.store.transaction import Transaction

# A charge that is on its way, or may be: it cannot be called back any more.
_ON_ITS_WAY = frozenset({PaymentStatus.SENDING, PaymentStatus.UNKNOWN, PaymentStatus.PENDING})
_OVER = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAutoRenew:
    customer_id: str
    subscription_id: str
    auto_renew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedAutoRenew:
    """`charge_in_flight`: a renewal was already sent when the customer opted out; it will be returned by itself."""

    subscription: Subscription
    charge_in_flight: bool
    checkout_url: str | None = None  # where the open period can be paid now


async def change_auto_renew(
    tx: Transaction, wanted: Sequence[ChangeAutoRenew]
) -> list[ChangedAutoRenew | Refusal]:
    """Opt out of renewals, or back in. At once, in every state, and the same again changes nothing."""
    desk = Desk(tx)
    locking = await lock_subscriptions(tx, [want.subscription_id for want in wanted])
    desk.subscriptions = await locking.values()
    desk.remember()
    await desk.lock([s.open_order_id for s in desk.subscriptions.values() if s.open_order_id])
    answers = [_change(desk, want) for want in wanted]
    desk.write()
    return answers


def _change(desk: Desk, want: ChangeAutoRenew) -> ChangedAutoRenew | Refusal:
    found = desk.subscriptions.get(want.subscription_id)
    if found is None or found.customer_id != want.customer_id:
        return Refusal(Code.NOT_FOUND, "There is no such subscription.")
    in_flight = _charge_in_flight(desk, found)
    if found.auto_renew is want.auto_renew:
        return ChangedAutoRenew(
            subscription=found,
            charge_in_flight=in_flight and not want.auto_renew,
            checkout_url=links.live_link(desk, found.open_order_id),
        )
    if want.auto_renew and found.status in _OVER:
        return Refusal(Code.SUBSCRIPTION_ENDED, "This subscription is over; order a new one.")
    desk.put(replace(found, auto_renew=want.auto_renew))
    if found.status not in LIVE:  # it has not begun; if late money still begins it, it is not renewed
        return ChangedAutoRenew(subscription=desk.subscriptions[found.id], charge_in_flight=False)
    if not want.auto_renew and found.past_due_at and not in_flight:
        cycles.end(desk, found.id, "opted_out")  # nothing is paid any longer, so nothing is left to wait for
    else:
        _tell(desk, found.id)
    changed = desk.subscriptions[found.id]
    return ChangedAutoRenew(
        subscription=changed,
        charge_in_flight=in_flight and not want.auto_renew,
        checkout_url=links.live_link(desk, changed.open_order_id),
    )


def _tell(desk: Desk, subscription_id: str) -> None:
    """The fact at once; the mail later, and only if this change is still the newest one then."""
    found = desk.subscriptions[subscription_id]
    desk.put(replace(found, auto_renew_changes=found.auto_renew_changes + 1))
    changed = desk.subscriptions[subscription_id]
    desk.tell_of_subscription(
        "billing.subscription.auto_renew_changed", changed.id, facts.of_subscription(changed)
    )
    desk.ask_for(facts.tell_auto_renew_job(changed, desk.now))


def _charge_in_flight(desk: Desk, subscription: Subscription) -> bool:
    payments = desk.payments_of(subscription.open_order_id or "")
    return any(
        payment.status in _ON_ITS_WAY and payment.flow is PaymentFlow.CHARGE and not payment.surplus
        for payment in payments
    )
