"""What the renewal tick decides about one subscription whose time has come."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared_lib.billing.attempts import next_attempt
from shared_lib.billing.case import Case, Undecidable
from shared_lib.billing.due import RenewalRequest, look_at_due
from shared_lib.billing.leasing import LeaseContext, LeasedPayment
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.period import Interval, Unit
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import replace
from tests.kit.examples import a_subscription, eur, utc

PERIOD_END = utc(2025, 3, 1, 12)
REQUEST = RenewalRequest(subscription_id="sub_1")


def renewable() -> Subscription:
    """Paid until PERIOD_END."""
    return replace(
        a_subscription(Interval(Unit.MONTH, 1)),
        status=SubscriptionStatus.ACTIVE,
        auto_renew=True,
        anchor_at=utc(2025, 2, 1, 12),
        period_n=1,
        period_start=utc(2025, 2, 1, 12),
        period_end=PERIOD_END,
        payment_method_id="pm_1",
        next_action_at=PERIOD_END,
    )


def tick(case: Case, request: RenewalRequest = REQUEST) -> tuple[Case, Payment | Undecidable | None]:
    assert case.subscription is not None
    case, leased = look_at_due(case, case.subscription, request, LeaseContext())
    return case, leased.payment if isinstance(leased, LeasedPayment) else leased


def declined(case: Case, payment: Payment, retry_at: datetime) -> Case:
    """The charge was declined, and the subscription is past due since then."""
    assert case.subscription is not None
    over = replace(payment, status=PaymentStatus.DECLINED, lease=payment.lease.released())
    late = replace(
        case.subscription,
        status=SubscriptionStatus.PAST_DUE,
        past_due_at=case.now,
        next_retry_at=retry_at,
        next_action_at=retry_at,
    )
    return case.put(over, late)


def opened() -> tuple[Case, Payment]:
    """Its renewal was due, and its payment is to be charged."""
    case, payment = tick(Case(PERIOD_END, replace(renewable(), amount=eur(799))))
    assert isinstance(payment, Payment)
    return case, payment


def test_a_retry_charges_what_the_open_order_costs_although_the_plan_has_another_price_by_now() -> None:
    case, payment = opened()
    retry_at = PERIOD_END + timedelta(days=1)
    case = declined(case, payment, retry_at)
    assert case.subscription is not None
    case = replace(case.put(replace(case.subscription, amount=eur(999))), now=retry_at)
    _, again = tick(case)
    assert isinstance(again, Payment)
    assert (again.amount, again.attempt, again.order_id) == (eur(799), 2, payment.order_id)


def test_the_order_of_a_period_is_opened_once_and_its_payment_charges_the_saved_method_under_a_lease() -> (
    None
):
    case, payment = opened()
    assert (payment.flow, payment.status, payment.payment_method_id) == ("charge", "sending", "pm_1")
    assert (payment.lease.fence, payment.lease.first_sent_at) == (1, PERIOD_END)
    assert case.subscription is not None
    assert case.subscription.next_action_at is None
    order = case.open_order
    assert order is not None
    assert (order.period_n, order.period_start, order.amount) == (2, PERIOD_END, eur(799))


def test_a_live_attempt_is_waited_for_however_often_the_tick_comes() -> None:
    case, payment = opened()
    assert case.subscription is not None
    case = case.put(replace(case.subscription, next_retry_at=PERIOD_END))
    case, answer = tick(case)
    assert answer is None
    assert list(case.payments) == [payment.id]


def test_once_its_customer_was_given_a_link_a_renewal_is_not_charged() -> None:
    case, payment = opened()
    retry_at = PERIOD_END + timedelta(days=1)
    case = declined(case, payment, retry_at)
    order = case.order_of(payment)
    link = next_attempt(case, order, PaymentFlow.CHECKOUT, check_at=None)
    case = replace(case.put(replace(link, status=PaymentStatus.EXPIRED)), now=retry_at)
    case, answer = tick(case)
    assert answer is None
    assert [one.flow for one in case.payments_of(order)] == ["charge", "checkout", "checkout"]


def test_a_subscription_whose_provider_is_gone_is_suspended_in_time_and_not_charged() -> None:
    case, payment = opened()
    much_later = PERIOD_END + timedelta(days=10)
    case = replace(declined(case, payment, much_later), now=much_later)
    case, answer = tick(case, replace(REQUEST, providers=frozenset({"another"})))
    assert isinstance(answer, Undecidable)
    assert case.subscription is not None
    assert case.subscription.status is SubscriptionStatus.SUSPENDED
    assert list(case.payments) == [payment.id]
