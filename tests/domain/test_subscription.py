from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared_lib.domain.period import Interval, Period, Unit
from shared_lib.domain.subscription import (
    LIVE,
    RENEWABLE,
    SUBSCRIPTION,
    NextBilling,
    Subscription,
    SubscriptionEvent,
    SubscriptionStatus,
    next_billing,
    start,
)
from shared_lib.domain.values import replace
from tests.kit.examples import DAY, SECOND, TICK, a_subscription, instants, utc, zones

MONTHLY = Interval(Unit.MONTH, 1)
JANUARY_31 = utc(2025, 1, 31, 12)


def started(subscription: Subscription, paid_at: datetime) -> Subscription:
    first = start(subscription, paid_at)
    return replace(
        subscription,
        status=SUBSCRIPTION.after(subscription.status, first.status_event),
        anchor_at=first.anchor_at,
        period_n=first.period_n,
        period_start=first.period.start,
        period_end=first.period.end,
    )


def billed(subscription: Subscription, billing: NextBilling) -> Subscription:
    return replace(
        subscription,
        anchor_at=billing.anchor_at,
        anchor_n=billing.anchor_n,
        period_n=billing.period_n,
        period_start=billing.period.start,
        period_end=billing.period.end,
    )


def end_of(subscription: Subscription) -> datetime:
    assert subscription.period_end is not None
    return subscription.period_end


MONTHLY_FROM_JANUARY_31 = started(a_subscription(MONTHLY), JANUARY_31)


def test_the_first_payment_starts_period_1() -> None:
    first = start(a_subscription(MONTHLY), JANUARY_31)
    assert first.status_event is SubscriptionEvent.PERIOD_PAID
    assert (first.anchor_at, first.period_n) == (JANUARY_31, 1)
    assert first.period == Period(JANUARY_31, utc(2025, 2, 28, 12))


def test_a_trial_is_period_0_and_its_end_is_the_anchor() -> None:
    trial = start(a_subscription(MONTHLY, trial_days=14), utc(2025, 1, 17, 12))
    assert trial.status_event is SubscriptionEvent.TRIAL_STARTED
    assert (trial.anchor_at, trial.period_n) == (JANUARY_31, 0)
    assert trial.period == Period(utc(2025, 1, 17, 12), JANUARY_31)


def test_a_trial_of_a_month_counts_on_from_its_own_end() -> None:
    """29 days from 30 January end on 28 February: the next periods end on the 28th, not on the 30th."""
    subscription = started(a_subscription(MONTHLY, trial_days=29), utc(2025, 1, 30))
    billing = next_billing(subscription, end_of(subscription))
    assert (billing.period_n, billing.period) == (1, Period(utc(2025, 2, 28), utc(2025, 3, 28)))


def test_what_never_started_has_nothing_to_renew() -> None:
    with pytest.raises(ValueError, match="first payment"):
        next_billing(a_subscription(MONTHLY), JANUARY_31)


def test_on_time_the_following_period_is_billed() -> None:
    for late in (timedelta(0), SECOND, timedelta(hours=5)):
        billing = next_billing(MONTHLY_FROM_JANUARY_31, utc(2025, 2, 28, 12) + late)
        assert billing == NextBilling(
            period_n=2,
            period=Period(utc(2025, 2, 28, 12), utc(2025, 3, 31, 12)),
            anchor_at=JANUARY_31,
            anchor_n=0,
        )


def test_a_day_of_silence_costs_a_monthly_subscriber_nothing() -> None:
    billing = next_billing(MONTHLY_FROM_JANUARY_31, utc(2025, 3, 1, 12))
    assert (billing.period_n, billing.period.start) == (2, utc(2025, 2, 28, 12))


def test_a_day_of_silence_over_a_daily_plan_is_skipped() -> None:
    daily = started(a_subscription(Interval(Unit.DAY, 1)), utc(2025, 1, 1))
    now = utc(2025, 1, 3, 6)  # day 2 passed unbilled
    latest = next_billing(daily, now)
    assert (latest.period_n, latest.period) == (3, Period(utc(2025, 1, 3), utc(2025, 1, 4)))


TEN_MONTHS_LATER = utc(2025, 12, 10, 8)


def test_after_ten_months_of_silence_the_latest_period_is_billed_once_and_nothing_shifts() -> None:
    billing = next_billing(MONTHLY_FROM_JANUARY_31, TEN_MONTHS_LATER)
    assert billing == NextBilling(
        period_n=11,
        period=Period(utc(2025, 11, 30, 12), utc(2025, 12, 31, 12)),
        anchor_at=JANUARY_31,
        anchor_n=0,
    )
    following = next_billing(billed(MONTHLY_FROM_JANUARY_31, billing), utc(2025, 12, 31, 12))
    assert (following.period_n, following.period.end) == (12, utc(2026, 1, 31, 12))


subscriptions = st.builds(
    lambda unit, count, zone, trial_days, paid_at: started(
        a_subscription(Interval(unit, count), zone, trial_days), paid_at
    ),
    st.sampled_from(Unit),
    st.integers(1, 4),
    zones,
    st.sampled_from([0, 0, 1, 7, 30]),
    instants,
)
silences = st.one_of(
    st.just(timedelta(0)), st.timedeltas(timedelta(0), DAY), st.timedeltas(timedelta(0), 300 * DAY)
)
renewals = st.lists(silences, min_size=1, max_size=6)
APIA_DAILY = started(a_subscription(Interval(Unit.DAY, 1), "Pacific/Apia"), utc(2011, 12, 28, 20))


@given(subscriptions, renewals)
@example(APIA_DAILY, [timedelta(0)] * 3)
def test_no_period_is_billed_twice_and_none_overlaps_another(
    subscription: Subscription, history: list[timedelta]
) -> None:
    """Whatever outages a subscription has lived through."""
    for silence in history:
        now = end_of(subscription) + silence
        billing = next_billing(subscription, now)

        assert billing.period_n > subscription.period_n
        assert billing.period.start >= end_of(subscription)
        assert billing.period.start <= now  # nothing is charged ahead
        assert now in billing.period  # what is billed can be watched now
        subscription = billed(subscription, billing)
        assert subscription.period(subscription.period_n) == billing.period  # and counts on from there


@given(subscriptions, silences)
def test_a_later_period_is_billed_only_when_one_was_missed(
    subscription: Subscription, silence: timedelta
) -> None:
    now = end_of(subscription) + silence
    following = subscription.period(subscription.period_n + 1)
    missed = now >= following.end
    latest = next_billing(subscription, now)

    assert missed or (latest.period_n, latest.period) == (subscription.period_n + 1, following)
    assert latest.anchor_at == subscription.anchor_at
    assert (latest.period_n > subscription.period_n + 1) == missed


@given(subscriptions, st.floats(0, 1))
def test_asked_too_early_it_does_not_bill_the_running_period_again(
    subscription: Subscription, progress: float
) -> None:
    assert subscription.period_start is not None
    now = subscription.period_start + (end_of(subscription) - subscription.period_start) * progress - TICK
    billing = next_billing(subscription, now)
    assert billing.period_n == subscription.period_n + 1
    assert billing.period.start == end_of(subscription)


@given(subscriptions)
def test_the_number_of_an_instant_is_the_period_that_contains_it(subscription: Subscription) -> None:
    for n in range(subscription.period_n + 1, subscription.period_n + 5):
        period = subscription.period(n)
        if period.start < period.end:
            assert subscription.number_at(period.start) == subscription.number_at(period.end - TICK) == n


def test_renewals_are_claimed_where_money_is_owed_and_seats_are_held_where_access_may_return() -> None:
    status = SubscriptionStatus
    assert {status.TRIALING, status.ACTIVE, status.PAST_DUE, status.SUSPENDED} == RENEWABLE
    assert {*RENEWABLE, status.PAUSED} == LIVE


_S = SubscriptionStatus


@pytest.mark.parametrize(
    ("status", "auto_renew", "change", "over", "stands"),
    [
        (_S.ACTIVE, False, 2, False, True),
        (_S.TRIALING, False, 2, False, True),
        (_S.PAUSED, False, 2, False, True),
        (_S.ACTIVE, False, 1, False, False),  # the second change followed
        (_S.ACTIVE, False, 3, False, False),
        (_S.ACTIVE, False, 2, True, False),  # the next tick ends it
        (_S.TRIALING, False, 2, True, False),
        (_S.ACTIVE, True, 2, True, True),  # the next tick renews it
        (_S.PAST_DUE, False, 2, True, True),  # what was sent to the bank decides about it
        (_S.SUSPENDED, True, 2, True, True),
        (_S.CANCELED, False, 2, False, False),
        (_S.INCOMPLETE, False, 2, False, False),
    ],
)
def test_a_change_of_auto_renew_stands_while_it_is_the_newest_of_a_subscription_that_goes_on(
    status: SubscriptionStatus, *, auto_renew: bool, change: int, over: bool, stands: bool
) -> None:
    now = utc(2030, 1, 1)
    subscription = replace(
        a_subscription(MONTHLY),
        status=status,
        auto_renew=auto_renew,
        auto_renew_changes=2,
        period_end=now if over else now + SECOND,
    )
    assert subscription.stands(change, now) is stands
