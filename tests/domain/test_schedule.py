from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.schedule import ask_unknown_at, look_at_pending_at, send_again_at
from tests.kit.examples import instants, utc

NOW = utc(2025, 6, 1)
Schedule = Callable[[datetime, int], datetime]


def waits_s(schedule: Schedule, count: int) -> list[int]:
    return [int((schedule(NOW, checks) - NOW).total_seconds()) for checks in range(count)]


def test_the_unknown_is_asked_about_after_2_s_10_s_a_minute_10_minutes_and_then_hourly() -> None:
    assert waits_s(ask_unknown_at, 8) == [2, 10, 60, 600, 3600, 3600, 3600, 3600]


def test_what_was_not_sent_is_sent_again_within_minutes() -> None:
    assert waits_s(send_again_at, 6) == [2, 10, 60, 300, 900, 900]


def test_a_pending_payment_is_looked_at_in_case_its_webhook_was_lost() -> None:
    assert waits_s(look_at_pending_at, 6) == [600, 1800, 3600, 10800, 21600, 21600]


@pytest.mark.parametrize("schedule", [ask_unknown_at, send_again_at, look_at_pending_at])
@given(now=instants, checks=st.integers(0, 10**6))
def test_waits_grow_and_never_end(schedule: Schedule, now: datetime, checks: int) -> None:
    assert now < schedule(now, checks) <= schedule(now, checks + 1)
