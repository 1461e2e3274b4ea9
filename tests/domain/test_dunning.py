from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.dunning import DEFAULT, DunningPolicy, access_until, gives_up_at, next_retry_at
from shared_lib.domain.payment import DeclineKind
from tests.kit.examples import DAY, SECOND, instants, utc

DECLINED_AT = utc(2025, 3, 10, 9)


def retry(now: datetime, kind: DeclineKind = DeclineKind.SOFT, attempts: int = 1) -> datetime | None:
    return next_retry_at(DEFAULT, kind, DECLINED_AT, now, attempts)


def test_a_soft_decline_is_retried_on_days_1_3_5_and_7_of_the_first_decline() -> None:
    seen, now = [], DECLINED_AT
    while (following := retry(now)) is not None:
        seen.append((following - DECLINED_AT).days)
        now = following + SECOND  # the retry is declined again
    assert seen == [1, 3, 5, 7]


@pytest.mark.parametrize("kind", [DeclineKind.HARD, DeclineKind.ACTION_REQUIRED])
def test_only_the_customer_can_mend_a_hard_decline_or_a_missing_confirmation(kind: DeclineKind) -> None:
    assert retry(DECLINED_AT, kind) is None


@pytest.mark.parametrize(
    ("down_days", "retry_day"), [(0, 1), (0.5, 1), (1, 3), (2, 3), (4, 5), (5, 7), (6.9, 7)]
)
def test_an_outage_of_ours_skips_days_and_never_bunches_them(down_days: float, retry_day: int) -> None:
    assert retry(DECLINED_AT + down_days * DAY) == DECLINED_AT + retry_day * DAY


@pytest.mark.parametrize("down_days", [7, 8, 300])
def test_after_the_last_day_nothing_is_tried(down_days: int) -> None:
    assert retry(DECLINED_AT + down_days * DAY) is None


def test_a_method_is_tried_15_times_in_30_days_and_not_once_more() -> None:
    assert DEFAULT.attempts_max == 15
    assert DEFAULT.attempts_window_days == 30
    assert retry(DECLINED_AT, attempts=14) == DECLINED_AT + DAY
    assert retry(DECLINED_AT, attempts=15) is None
    assert retry(DECLINED_AT, attempts=16) is None


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=6).map(sorted),
    instants,
    st.timedeltas(timedelta(0), timedelta(days=90)),
)
def test_a_retry_is_never_in_the_past_and_always_on_a_scheduled_day(
    schedule: list[int], declined_at: datetime, later: timedelta
) -> None:
    policy = DunningPolicy(retry_days=tuple(schedule))
    now = declined_at + later
    following = next_retry_at(policy, DeclineKind.SOFT, declined_at, now, 0)
    ahead = [day for day in schedule if declined_at + day * DAY > now]
    assert following == (declined_at + ahead[0] * DAY if ahead else None)
    assert following is None or following > now


def test_access_lasts_for_7_days_of_grace_and_hope_for_21() -> None:
    assert access_until(DEFAULT, DECLINED_AT) == utc(2025, 3, 17, 9)
    assert gives_up_at(DEFAULT, DECLINED_AT) == utc(2025, 3, 31, 9)


def test_the_last_retry_is_not_after_the_end_of_grace() -> None:
    assert DECLINED_AT + DEFAULT.retry_days[-1] * DAY <= access_until(DEFAULT, DECLINED_AT)
