"""One play counts for one entitlement, and its instant is believed as far as it can be true."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import EntitlementStatus
from shared_lib.domain.playing import TRAVEL_MAX, Access, began_at, counted_for
from shared_lib.domain.values import replace
from tests.kit.examples import DAY, SECOND, TICK, an_entitlement, instants, utc

HOUR = timedelta(hours=1)
PAID_AT = utc(2025, 5, 1, 18)
NOW = PAID_AT + 10 * DAY
EARLIEST, LATEST = utc(1, 1, 1), datetime.max.replace(tzinfo=PAID_AT.tzinfo)


def access(
    id_: str,
    kind: PriceKind = PriceKind.RENTAL,
    *,
    starts_at: datetime = PAID_AT,
    until: datetime | None = PAID_AT + 30 * DAY,
    first_played_at: datetime | None = None,
    status: EntitlementStatus = EntitlementStatus.ACTIVE,
) -> Access:
    until = None if kind is PriceKind.PURCHASE else until
    entitlement = an_entitlement(starts_at, until, status, first_played_at)
    return Access(replace(entitlement, id=id_, kind=kind), until)


OWNED = access("owned", PriceKind.PURCHASE)
PLAN = access("plan", PriceKind.SUBSCRIPTION)
RUNNING = access("running", first_played_at=NOW - HOUR, until=NOW + DAY)
SOON_OVER = access("soon over", until=NOW + HOUR)
FRESH = access("fresh", starts_at=NOW - HOUR, until=NOW + 29 * DAY)
OVER = access("over", starts_at=PAID_AT - 25 * DAY, until=NOW - 5 * DAY)
JUST_OVER = access("just over", starts_at=NOW - 30 * DAY, until=NOW - SECOND)
LATER = access("later", PriceKind.SUBSCRIPTION, starts_at=NOW + TICK, until=NOW + 30 * DAY)
REVOKED = access("revoked", PriceKind.PURCHASE, status=EntitlementStatus.REVOKED)


@pytest.mark.parametrize(
    ("candidates", "started_at", "chosen"),
    [
        ([FRESH, SOON_OVER, RUNNING, PLAN, OWNED], NOW, OWNED),
        ([FRESH, SOON_OVER, RUNNING, PLAN], NOW, PLAN),
        ([FRESH, SOON_OVER, RUNNING], NOW, RUNNING),
        ([FRESH, SOON_OVER], NOW, SOON_OVER),
        ([FRESH, OVER], NOW - 6 * DAY, FRESH),  # what gives access now, whatever the device says
        ([OVER], NOW - 6 * DAY, OVER),  # reported late
        ([OVER], NOW, None),
        ([JUST_OVER, OVER], NOW, None),
        ([JUST_OVER, OVER], EARLIEST, None),
        ([JUST_OVER, OVER], NOW - 2 * SECOND, JUST_OVER),
        ([LATER], NOW, None),
        ([REVOKED], NOW, None),
        ([REVOKED, FRESH], NOW, FRESH),
        ([], NOW, None),
    ],
)
def test_a_play_counts_for_what_gives_access(
    candidates: list[Access], started_at: datetime, chosen: Access | None
) -> None:
    assert counted_for(candidates, started_at, NOW) is chosen
    assert counted_for(candidates[::-1], started_at, NOW) is chosen


@pytest.mark.parametrize(
    ("found", "started_at", "at"),
    [
        (FRESH, NOW - 10 * SECOND, NOW - 10 * SECOND),
        (FRESH, NOW + HOUR, NOW),
        (FRESH, LATEST, NOW),
        (FRESH, FRESH.entitlement.starts_at - SECOND, FRESH.entitlement.starts_at),
        (FRESH, EARLIEST, FRESH.entitlement.starts_at),
        (SOON_OVER, EARLIEST, NOW - TRAVEL_MAX),  # ten days after paying: its 48 hours are not over at once
        (SOON_OVER, NOW - 5 * DAY, NOW - TRAVEL_MAX),
        (SOON_OVER, NOW - 2 * DAY, NOW - TRAVEL_MAX),
        (SOON_OVER, NOW - 2 * DAY + SECOND, NOW - 2 * DAY + SECOND),
        (OWNED, EARLIEST, PAID_AT),
        (OWNED, NOW - 5 * DAY, NOW - 5 * DAY),
        (OVER, NOW - 6 * DAY, NOW - 6 * DAY),
        (JUST_OVER, NOW - HOUR, NOW - HOUR),
    ],
)
def test_a_claimed_instant_is_moved_into_the_access(
    found: Access, started_at: datetime, at: datetime
) -> None:
    assert began_at(found, started_at, NOW) == at


@given(st.datetimes(timezones=st.just(PAID_AT.tzinfo)), st.timedeltas(timedelta(0), timedelta(days=29)))
def test_whatever_a_device_says_a_rental_begins_within_its_access_and_is_not_over(
    started_at: datetime, waited: timedelta
) -> None:
    rental, now = access("rental"), PAID_AT + waited
    at = began_at(rental, started_at, now)
    assert PAID_AT <= at <= now
    assert at + timedelta(hours=48) > now


@given(instants, instants)
def test_a_play_never_counts_for_what_was_not_open(started_at: datetime, now: datetime) -> None:
    found = counted_for([FRESH, SOON_OVER, OVER, JUST_OVER, PLAN], started_at, now)
    if found is not None:
        assert found.open_at(began_at(found, started_at, now))
