from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.catalog import Price, PriceKind
from shared_lib.domain.entitlement import EntitlementStatus, access_end, end_after_first_play
from tests.kit.examples import DAY, TICK, an_entitlement, eur, instants, utc

PAID_AT = utc(2025, 5, 1, 18)
HOURS_48 = timedelta(hours=48)


def test_a_purchase_is_for_good() -> None:
    assert access_end(PriceKind.PURCHASE, PAID_AT, None) is None


def test_a_rental_can_be_started_for_30_days() -> None:
    assert access_end(PriceKind.RENTAL, PAID_AT, None) == utc(2025, 5, 31, 18)


def test_a_subscription_lasts_to_the_end_of_its_period() -> None:
    assert access_end(PriceKind.SUBSCRIPTION, PAID_AT, utc(2025, 6, 1)) == utc(2025, 6, 1)


def test_a_subscription_without_a_period_is_a_bug_and_not_access_for_good() -> None:
    with pytest.raises(ValueError, match="period"):
        access_end(PriceKind.SUBSCRIPTION, PAID_AT, None)


def test_a_started_rental_is_finished_within_48_hours() -> None:
    ends_at = access_end(PriceKind.RENTAL, PAID_AT, None)
    assert end_after_first_play(ends_at, PAID_AT + DAY) == PAID_AT + DAY + HOURS_48


def test_a_rental_started_in_its_last_instant_still_has_48_hours() -> None:
    ends_at = PAID_AT + 30 * DAY
    assert end_after_first_play(ends_at, ends_at - TICK) == ends_at - TICK + HOURS_48


@pytest.mark.parametrize("late", [timedelta(0), DAY])
def test_a_play_after_the_window_opens_no_new_one(late: timedelta) -> None:
    ends_at = PAID_AT + 30 * DAY
    assert end_after_first_play(ends_at, ends_at + late) == ends_at


def test_a_play_without_an_end_sets_one() -> None:
    assert end_after_first_play(None, PAID_AT) == PAID_AT + HOURS_48


@given(instants, st.timedeltas(timedelta(0), timedelta(days=60)))
def test_a_play_never_gives_more_than_48_hours_beyond_the_window(paid_at: datetime, later: timedelta) -> None:
    ends_at, played_at = paid_at + 30 * DAY, paid_at + later
    assert end_after_first_play(ends_at, played_at) < ends_at + HOURS_48
    assert end_after_first_play(ends_at, played_at) <= max(ends_at, played_at + HOURS_48)


def test_a_window_opens_at_its_start_and_closes_at_its_end() -> None:
    entitlement = an_entitlement(PAID_AT, PAID_AT + DAY)
    assert not entitlement.watchable_at(PAID_AT - TICK)
    assert entitlement.watchable_at(PAID_AT)
    assert entitlement.watchable_at(PAID_AT + DAY - TICK)
    assert not entitlement.watchable_at(PAID_AT + DAY)


def test_what_was_bought_for_good_stays_and_what_was_revoked_does_not() -> None:
    assert an_entitlement(PAID_AT, None).watchable_at(utc(2125, 1, 1))
    assert not an_entitlement(PAID_AT, None, EntitlementStatus.REVOKED).watchable_at(PAID_AT)


def test_a_price_is_sold_from_its_first_instant_up_to_its_last() -> None:
    def price(until: datetime | None) -> Price:
        return Price(
            id="prc_1",
            product_id="prd_1",
            product_title="Stalker",
            kind=PriceKind.PURCHASE,
            amount=eur(999),
            interval=None,
            trial_days=0,
            sellable_from=PAID_AT,
            sellable_until=until,
        )

    assert not price(None).sellable_at(PAID_AT - TICK)
    assert price(None).sellable_at(PAID_AT)
    assert price(None).sellable_at(utc(2125, 1, 1))
    assert price(PAID_AT + DAY).sellable_at(PAID_AT + DAY - TICK)
    assert not price(PAID_AT + DAY).sellable_at(PAID_AT + DAY)
