"""Periods are counted from an anchor, never from the previous end, so they cannot drift.

end(n) = clamp(anchor + n intervals) in the customer's time zone: 31 Jan -> 28 Feb -> 31 Mar -> 30 Apr.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from shared_lib.domain.values import Value

# A country's clock rules may move a boundary by this much after it was stored; a period is shortened by more, or not at all.
SHORTEST = timedelta(hours=3)


class Unit(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Interval(Value):
    """How long one period lasts: `Interval(Unit.MONTH, 3)` is a quarter."""

    unit: Unit
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("an interval counts at least one unit")


class Period(Value):
    """Half-open [start, end), UTC."""

    start: datetime
    end: datetime

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end


class Cadence(Value):
    """What a subscription counts by. `anchor_at` is UTC; the arithmetic is done on the wall clock of `time_zone`."""

    anchor_at: datetime
    time_zone: str
    interval: Interval

    def boundary(self, n: int) -> datetime:
        """The instant n intervals after the anchor, UTC; boundary(0) is the anchor itself."""
        if n == 0:
            return self.anchor_at
        zone = ZoneInfo(self.time_zone)
        wall = self.anchor_at.astimezone(zone).replace(tzinfo=None)
        return _instant(_add(wall, self.interval, n), zone)

    def period(self, n: int) -> Period:
        """Period n, counted from 1: [boundary(n-1), boundary(n))."""
        return Period(self.boundary(n - 1), self.boundary(n))

    def number_at(self, at: datetime) -> int:
        """The number of the period that contains `at`; 0 before the anchor."""
        if at < self.anchor_at:
            return 0
        n = max(1, self._estimate(at) - 1)
        while self.boundary(n) <= at:
            n += 1
        while n > 1 and self.boundary(n - 1) > at:
            n -= 1
        return n

    def _estimate(self, at: datetime) -> int:
        days = (at - self.anchor_at).days
        match self.interval.unit:
            case Unit.DAY:
                return days // self.interval.count
            case Unit.WEEK:
                return days // (7 * self.interval.count)
            case Unit.MONTH:
                return days // (31 * self.interval.count)
            case Unit.YEAR:
                return days // (366 * self.interval.count)
            case _ as unreachable:
                assert_never(unreachable)


def _add(wall: datetime, interval: Interval, n: int) -> datetime:
    steps = interval.count * n
    match interval.unit:
        case Unit.DAY:
            return wall + timedelta(days=steps)
        case Unit.WEEK:
            return wall + timedelta(weeks=steps)
        case Unit.MONTH:
            return _add_months(wall, steps)
        case Unit.YEAR:
            return _add_months(wall, 12 * steps)
        case _ as unreachable:
            assert_never(unreachable)


def _add_months(wall: datetime, months: int) -> datetime:
    years, month0 = divmod(wall.month - 1 + months, 12)
    year, month = wall.year + years, month0 + 1
    return wall.replace(year=year, month=month, day=min(wall.day, calendar.monthrange(year, month)[1]))


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """UTC of a wall clock time: an ambiguous one takes the first, one that does not exist moves forward.

    With fold=0 the standard library reads a time inside a spring gap with the offset from before the gap,
    which lands the same distance after it: exactly the move forward that is wanted.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
