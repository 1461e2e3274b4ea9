"""Where periods begin and end. Expected instants were worked out by hand from the zones' rules."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shared_lib.domain.period import Cadence, Interval, Period, Unit
from tests.kit.examples import DAY, TICK, instants, intervals, utc, zones

MONTHLY, YEARLY, DAILY = Interval(Unit.MONTH, 1), Interval(Unit.YEAR, 1), Interval(Unit.DAY, 1)

cadences = st.builds(Cadence, instants, zones, intervals)
numbers = st.integers(1, 120)

# Anchors whose wall clock time is skipped or repeated later.
APIA_DAILY = Cadence(utc(2011, 12, 28, 20), "Pacific/Apia", DAILY)
BERLIN_FOLD = Cadence(utc(2025, 10, 26, 1, 30), "Europe/Berlin", DAILY)  # the second 02:30 of that night


def local(zone: str, *wall: int) -> datetime:
    """A wall clock time that exists once, as an instant."""
    year, month, day, hour, minute = (*wall, 0, 0)[:5]
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def days(cadence: Cadence, count: int) -> list[tuple[int, int]]:
    zone = ZoneInfo(cadence.time_zone)
    walls = [cadence.boundary(n).astimezone(zone) for n in range(count)]
    return [(wall.month, wall.day) for wall in walls]


def test_a_month_from_31_january_ends_on_the_last_day_of_each_month() -> None:
    chain = days(Cadence(utc(2025, 1, 31), "UTC", MONTHLY), 13)
    assert chain == [
        (1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31),
        (8, 31), (9, 30), (10, 31), (11, 30), (12, 31), (1, 31),
    ]  # fmt: skip


def test_february_has_a_29th_in_leap_years_only() -> None:
    assert Cadence(utc(2024, 1, 31), "UTC", MONTHLY).boundary(1) == utc(2024, 2, 29)
    assert Cadence(utc(2025, 1, 30), "UTC", MONTHLY).boundary(1) == utc(2025, 2, 28)
    assert Cadence(utc(2025, 1, 29), "UTC", MONTHLY).boundary(2) == utc(2025, 3, 29)
    assert Cadence(utc(2000, 1, 31), "UTC", MONTHLY).boundary(1) == utc(2000, 2, 29)
    assert Cadence(utc(2000, 1, 31), "UTC", MONTHLY).boundary(1201) == utc(2100, 2, 28)  # no leap year


def test_29_february_yearly_comes_back_in_leap_years() -> None:
    assert days(Cadence(utc(2024, 2, 29), "UTC", YEARLY), 9) == [
        (2, 29), (2, 28), (2, 28), (2, 28), (2, 29), (2, 28), (2, 28), (2, 28), (2, 29),
    ]  # fmt: skip


def test_a_quarter_is_three_months_and_a_fortnight_two_weeks() -> None:
    assert days(Cadence(utc(2025, 11, 30), "UTC", Interval(Unit.MONTH, 3)), 4) == [
        (11, 30), (2, 28), (5, 30), (8, 30),
    ]  # fmt: skip
    assert Cadence(utc(2025, 1, 1), "UTC", Interval(Unit.WEEK, 2)).boundary(3) == utc(2025, 2, 12)


def test_the_day_is_the_customers_not_ours() -> None:
    """31 January in Kiritimati begins on 30 January, 10:00 UTC; counting in UTC would lose a day in March."""
    cadence = Cadence(utc(2025, 1, 30, 11), "Pacific/Kiritimati", MONTHLY)
    assert days(cadence, 4) == [(1, 31), (2, 28), (3, 31), (4, 30)]
    assert cadence.boundary(2) == utc(2025, 3, 30, 11)


@pytest.mark.parametrize(
    ("zone", "anchor", "n", "expected"),
    [
        # Berlin leaps from 02:00 to 03:00 on 30 March 2025: 02:30 becomes 03:30 summer time.
        ("Europe/Berlin", (2025, 1, 30, 2, 30), 2, utc(2025, 3, 30, 1, 30)),
        ("Europe/Berlin", (2025, 1, 30, 2, 30), 3, utc(2025, 4, 30, 0, 30)),
        # New York leaps on 9 March 2025.
        ("America/New_York", (2025, 2, 9, 2, 30), 1, utc(2025, 3, 9, 7, 30)),
        ("America/New_York", (2025, 2, 9, 2, 30), 2, utc(2025, 4, 9, 6, 30)),
        # Lord Howe leaps by half an hour, 02:00 to 02:30, on 5 October 2025: 02:15 becomes 02:45 (+11).
        ("Australia/Lord_Howe", (2025, 9, 5, 2, 15), 1, utc(2025, 10, 4, 15, 45)),
        ("Australia/Lord_Howe", (2025, 9, 5, 2, 15), 2, utc(2025, 11, 4, 15, 15)),
        # Samoa skipped 30 December 2011 altogether.
        ("Pacific/Apia", (2011, 11, 30, 10), 1, local("Pacific/Apia", 2011, 12, 31, 10)),
        ("Pacific/Apia", (2011, 11, 30, 10), 2, local("Pacific/Apia", 2012, 1, 30, 10)),
    ],
)
def test_a_local_time_that_does_not_exist_moves_forward(
    zone: str, anchor: tuple[int, ...], n: int, expected: datetime
) -> None:
    assert Cadence(local(zone, *anchor), zone, MONTHLY).boundary(n) == expected


@pytest.mark.parametrize(
    ("zone", "anchor", "expected"),
    [
        ("Europe/Berlin", (2025, 9, 26, 2, 30), utc(2025, 10, 26, 0, 30)),
        ("America/New_York", (2025, 10, 2, 1, 30), utc(2025, 11, 2, 5, 30)),
        ("Australia/Lord_Howe", (2025, 3, 6, 1, 45), utc(2025, 4, 5, 14, 45)),
    ],
)
def test_a_local_time_that_comes_twice_is_taken_the_first_time(
    zone: str, anchor: tuple[int, ...], expected: datetime
) -> None:
    assert Cadence(local(zone, *anchor), zone, MONTHLY).boundary(1) == expected


def test_an_anchor_in_the_repeated_hour_keeps_its_own_instant() -> None:
    assert BERLIN_FOLD.boundary(0) == utc(2025, 10, 26, 1, 30)
    assert BERLIN_FOLD.boundary(1) == utc(2025, 10, 27, 1, 30)


def test_a_day_that_a_zone_skips_is_an_empty_period_that_contains_nothing() -> None:
    before, skipped, after = (APIA_DAILY.period(n) for n in (2, 3, 4))
    assert before.end == skipped.start == skipped.end == after.start
    assert APIA_DAILY.number_at(skipped.start) == 4


@pytest.mark.parametrize("count", [0, -1])
def test_an_interval_of_nothing_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Interval(Unit.MONTH, count)


def test_a_period_holds_its_start_and_not_its_end() -> None:
    period = Period(utc(2025, 1, 1), utc(2025, 2, 1))
    assert period.start in period
    assert period.end - TICK in period
    assert period.end not in period
    assert period.start - TICK not in period


@given(cadences, numbers)
@example(APIA_DAILY, 3)
@example(BERLIN_FOLD, 1)
def test_periods_abut_and_never_overlap(cadence: Cadence, n: int) -> None:
    one, following = cadence.period(n), cadence.period(n + 1)
    assert one.start <= one.end == following.start <= following.end
    assert cadence.period(1).start == cadence.anchor_at
    assert one.start.utcoffset() == one.end.utcoffset() == timedelta(0)


@given(cadences, numbers)
def test_periods_never_drift(cadence: Cadence, n: int) -> None:
    """n intervals of one are one interval of n: no boundary leans on another."""
    leap = Interval(cadence.interval.unit, cadence.interval.count * n)
    assert cadence.boundary(n) == Cadence(cadence.anchor_at, cadence.time_zone, leap).boundary(1)


@given(instants, zones, st.sampled_from([Unit.MONTH, Unit.YEAR]), st.integers(1, 13), numbers)
def test_a_boundary_falls_on_the_anchors_day_or_the_last_of_a_shorter_month(
    anchor: datetime, zone: str, unit: Unit, count: int, n: int
) -> None:
    wall = anchor.astimezone(ZoneInfo(zone))
    months = count * n * (12 if unit is Unit.YEAR else 1)
    year, month0 = divmod(wall.year * 12 + wall.month - 1 + months, 12)
    day = min(wall.day, calendar.monthrange(year, month0 + 1)[1])
    wanted = wall.replace(year=year, month=month0 + 1, day=day, fold=0)
    assume(
        wanted.astimezone(UTC).astimezone(wanted.tzinfo) == wanted
    )  # skipped times have tests of their own

    found = Cadence(anchor, zone, Interval(unit, count)).boundary(n).astimezone(ZoneInfo(zone))
    assert (found.date(), found.time()) == (wanted.date(), wanted.time())


@given(instants, zones, st.sampled_from([Unit.DAY, Unit.WEEK]), st.integers(1, 13), numbers)
def test_days_and_weeks_keep_the_customers_hour(
    anchor: datetime, zone: str, unit: Unit, count: int, n: int
) -> None:
    wall = anchor.astimezone(ZoneInfo(zone)).replace(fold=0)
    wanted = wall + count * n * (7 if unit is Unit.WEEK else 1) * DAY
    assume(wanted.astimezone(UTC).astimezone(wanted.tzinfo) == wanted)

    found = Cadence(anchor, zone, Interval(unit, count)).boundary(n).astimezone(ZoneInfo(zone))
    assert (found.date(), found.time()) == (wanted.date(), wanted.time())


@given(cadences, st.timedeltas(timedelta(0), timedelta(days=20_000)))
@example(APIA_DAILY, DAY)
@example(APIA_DAILY, timedelta(hours=48))
@example(BERLIN_FOLD, timedelta(0))
def test_an_instant_lies_in_the_period_of_its_number(cadence: Cadence, since: timedelta) -> None:
    at = cadence.anchor_at + since
    assert at in cadence.period(cadence.number_at(at))


@given(cadences, numbers)
def test_a_period_has_its_number_from_its_first_to_its_last_instant(cadence: Cadence, n: int) -> None:
    period = cadence.period(n)
    assume(period.start < period.end)  # all but the skipped day
    assert cadence.number_at(period.start) == n
    assert cadence.number_at(period.end - TICK) == n
    assert cadence.number_at(period.end) > n


@given(cadences, st.timedeltas(TICK, timedelta(days=3000)))
def test_before_the_anchor_nothing_is_counted(cadence: Cadence, earlier: timedelta) -> None:
    assert cadence.number_at(cadence.anchor_at - earlier) == 0
