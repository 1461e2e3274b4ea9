"""A customer opts out of a subscription's renewals, or back in."""

from __future__ import annotations

from typing import Final

from shared_lib.billing import facts, jobs, links
from shared_lib.billing.case import Case
from shared_lib.billing.renewals import end
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.payment import PaymentFlow, PaymentStatus
from shared_lib.domain.subscription import LIVE, Subscription, SubscriptionStatus
from shared_lib.domain.values import Value, replace

# A charge that is on its way, or may be: it cannot be called back any more.
_ON_ITS_WAY: Final = frozenset({PaymentStatus.SENDING, PaymentStatus.UNKNOWN, PaymentStatus.PENDING})
_OVER: Final = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})


class ChangeAutoRenew(Value, kw_only=True):
    customer_id: str
    subscription_id: str
    auto_renew: bool


class ChangedAutoRenew(Value, kw_only=True):
    """`charge_in_flight`: a renewal was already sent when the customer opted out; it is returned without a request.

    `checkout_url`: where the open period can be paid now.
    """

    subscription: Subscription
    charge_in_flight: bool
    checkout_url: str | None = None


def set_auto_renew(
    case: Case, subscription: Subscription, *, auto_renew: bool
) -> tuple[Case, ChangedAutoRenew | Refusal]:
    """At once, in every state; the same again changes nothing. Refused: to renew a subscription that is over."""
    in_flight = _charge_in_flight(case)
    if subscription.auto_renew is auto_renew:
        return case, _answer(case, subscription, in_flight=in_flight)
    if auto_renew and subscription.status in _OVER:
        return case, Refusal(Code.SUBSCRIPTION_ENDED, "This subscription is over; order a new one.")
    changed = replace(subscription, auto_renew=auto_renew, auto_renew_changed_at=case.now)
    case = case.put(changed)
    if changed.status not in LIVE:  # it has not begun; if late money still begins it, it is not renewed
        return case, ChangedAutoRenew(subscription=changed, charge_in_flight=False)
    if not auto_renew and changed.past_due_at and not in_flight:
        case = end(case, changed, "opted_out")  # nothing is paid any longer, so nothing is left to wait for
    else:
        case = _count(case, changed)
    assert case.subscription is not None
    return case, _answer(case, case.subscription, in_flight=in_flight)


def _answer(case: Case, subscription: Subscription, *, in_flight: bool) -> ChangedAutoRenew:
    return ChangedAutoRenew(
        subscription=subscription,
        charge_in_flight=in_flight and not subscription.auto_renew,
        checkout_url=links.live_link(case, case.open_order),
    )


def _count(case: Case, subscription: Subscription) -> Case:
    """The fact at once; the mail later, and only if this change is still the newest one then."""
    counted = replace(subscription, auto_renew_changes=subscription.auto_renew_changes + 1)
    return case.put(counted).record(
        facts.auto_renew_changed(counted), jobs.tell_auto_renew(counted, case.now)
    )


def _charge_in_flight(case: Case) -> bool:
    payments = case.payments_of(case.open_order) if case.open_order else ()
    return any(
        payment.status in _ON_ITS_WAY and payment.flow is PaymentFlow.CHARGE and not payment.surplus
        for payment in payments
    )
