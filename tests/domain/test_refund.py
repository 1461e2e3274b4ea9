from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import Money
from shared_lib.domain.order import OrderEvent, refund_event
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.period import Period
from shared_lib.domain.refund import customer_refund, shortened_end, unused_share
from tests.kit.examples import DAY, SECOND, TICK, an_entitlement, an_order, eur, instants, utc

PAID_AT = utc(2025, 4, 1, 12)
APRIL = Period(PAID_AT, PAID_AT + 30 * DAY)
TITLES = [PriceKind.PURCHASE, PriceKind.RENTAL]


def refund_title(
    kind: PriceKind, after: timedelta, played: bool = False, left: int = 1500
) -> Money | Refusal:
    entitlement = an_entitlement(PAID_AT, None, first_played_at=PAID_AT + SECOND if played else None)
    return customer_refund(an_order(kind, eur(1500), PAID_AT), [entitlement], eur(left), PAID_AT + after)


def refund_april(after: timedelta, refundable: int = 3000) -> Money | Refusal:
    order = an_order(PriceKind.SUBSCRIPTION, eur(3000), PAID_AT, APRIL)
    return customer_refund(order, [an_entitlement(APRIL.start, APRIL.end)], eur(refundable), PAID_AT + after)


def refused(answer: Money | Refusal) -> Code:
    assert isinstance(answer, Refusal)
    return answer.code


@pytest.mark.parametrize("kind", TITLES)
def test_a_title_goes_back_whole_until_the_last_instant_of_14_days(kind: PriceKind) -> None:
    assert refund_title(kind, timedelta(0)) == eur(1500)
    assert refund_title(kind, 14 * DAY - TICK) == eur(1500)
    assert refused(refund_title(kind, 14 * DAY)) is Code.REFUND_WINDOW_OVER
    assert refused(refund_title(kind, 15 * DAY)) is Code.REFUND_WINDOW_OVER


@pytest.mark.parametrize("kind", TITLES)
def test_a_started_title_cannot_be_returned(kind: PriceKind) -> None:
    assert refused(refund_title(kind, DAY, played=True)) is Code.REFUND_STARTED


def test_after_a_part_went_back_only_the_rest_can() -> None:
    assert refund_title(PriceKind.PURCHASE, DAY, left=500) == eur(500)


@pytest.mark.parametrize("kind", TITLES)
def test_when_everything_went_back_there_is_nothing_to_ask_for(kind: PriceKind) -> None:
    assert refused(refund_title(kind, DAY, left=0)) is Code.REFUND_TOO_MUCH


@pytest.mark.parametrize("kind", PriceKind)
def test_what_was_not_paid_is_not_refunded(kind: PriceKind) -> None:
    order = an_order(kind, eur(1500), None)
    assert refused(customer_refund(order, [], eur(0), PAID_AT)) is Code.REFUND_WINDOW_OVER


def test_a_period_goes_back_pro_rata() -> None:
    assert refund_april(timedelta(0)) == eur(3000)
    assert refund_april(3 * DAY) == eur(2700)
    assert refund_april(10 * DAY) == eur(2000)
    assert refund_april(14 * DAY - SECOND) == eur(1600)
    assert refused(refund_april(14 * DAY)) is Code.REFUND_WINDOW_OVER


def test_watching_does_not_keep_a_subscriber_from_a_pro_rata_refund() -> None:
    order = an_order(PriceKind.SUBSCRIPTION, eur(3000), PAID_AT, APRIL)
    played = an_entitlement(APRIL.start, APRIL.end, first_played_at=PAID_AT)
    assert customer_refund(order, [played], eur(3000), PAID_AT + 15 * DAY - 2 * DAY) == eur(1700)


def test_asking_twice_never_returns_the_days_that_were_used() -> None:
    """2700 went back on day 3; the 300 that are left paid for the days already used."""
    assert refused(refund_april(3 * DAY, refundable=300)) is Code.REFUND_TOO_MUCH
    assert refused(refund_april(4 * DAY, refundable=300)) is Code.REFUND_TOO_MUCH


def test_what_an_operator_gave_back_counts_against_the_unused_days() -> None:
    assert refund_april(3 * DAY, refundable=2000) == eur(1700)


@given(
    st.integers(0, 10**9),
    st.lists(st.timedeltas(timedelta(0), 14 * DAY - TICK), min_size=1, max_size=6).map(sorted),
)
def test_however_often_a_customer_asks_the_used_share_stays_paid(minor: int, asks: list[timedelta]) -> None:
    order = an_order(PriceKind.SUBSCRIPTION, eur(minor), PAID_AT, APRIL)
    kept = order.amount
    for after in asks:
        answer = customer_refund(order, [], kept, PAID_AT + after)
        if isinstance(answer, Money):
            assert answer.minor > 0
            kept -= answer
    assert kept == order.amount - unused_share(order.amount, APRIL, PAID_AT + asks[0])


@pytest.mark.parametrize("at", [APRIL.start - DAY, APRIL.end])
def test_only_the_current_period_can_be_refunded(at: datetime) -> None:
    """Paid late or early: the 14 days run, but the period is another."""
    order = an_order(PriceKind.SUBSCRIPTION, eur(3000), at - DAY, APRIL)
    assert refused(customer_refund(order, [], eur(3000), at)) is Code.REFUND_WINDOW_OVER


def test_a_trial_has_nothing_to_give_back() -> None:
    order = an_order(PriceKind.SUBSCRIPTION, eur(0), PAID_AT, APRIL)
    assert refused(customer_refund(order, [], eur(0), PAID_AT + DAY)) is Code.REFUND_TOO_MUCH


periods = st.builds(
    lambda start, length: Period(start, start + length),
    instants,
    st.timedeltas(timedelta(days=1), timedelta(days=800)),
)


@given(st.integers(0, 10**9), periods, st.floats(-0.2, 1.2))
def test_the_unused_and_the_used_share_are_the_amount(minor: int, period: Period, progress: float) -> None:
    now = period.start + (period.end - period.start) * progress
    unused = unused_share(eur(minor), period, now)
    assert eur(0) <= unused <= eur(minor)
    assert unused + (eur(minor) - unused) == eur(minor)
    if now <= period.start:
        assert unused == eur(minor)
    if now >= period.end:
        assert unused == eur(0)


@given(st.integers(0, 10**9), periods, st.floats(0, 1), st.floats(0, 1))
def test_waiting_never_makes_the_unused_share_larger(
    minor: int, period: Period, one: float, other: float
) -> None:
    earlier, later = (period.start + (period.end - period.start) * at for at in sorted((one, other)))
    assert unused_share(eur(minor), period, later) <= unused_share(eur(minor), period, earlier)


@given(st.integers(1, 10**9), periods, st.data())
def test_shortened_access_ends_within_the_window_and_sooner_the_more_went_back(
    minor: int, window: Period, data: st.DataObject
) -> None:
    less, more = sorted(data.draw(st.tuples(*[st.integers(0, minor + 10)] * 2)))
    earlier, later = (shortened_end(eur(minor), refunded, window) for refunded in (more, less))
    assert window.start <= earlier <= later <= window.end


@given(st.integers(1, 10**9), periods)
def test_nothing_back_keeps_the_window_and_all_back_ends_it(minor: int, window: Period) -> None:
    assert window.end - shortened_end(eur(minor), 0, window) < SECOND
    assert shortened_end(eur(minor), minor, window) == window.start


def test_shortened_access_is_the_share_that_stays_paid() -> None:
    assert shortened_end(eur(3000), 1000, APRIL) == APRIL.start + 20 * DAY
    assert shortened_end(eur(3000), 2700, APRIL) == APRIL.start + 3 * DAY
    assert shortened_end(eur(0), 0, APRIL) == APRIL.start


@pytest.mark.parametrize(
    ("captured", "refunded", "event"),
    [
        (1000, 0, OrderEvent.REFUNDED_NOTHING),
        (1000, 1, OrderEvent.REFUNDED_PART),
        (1000, 999, OrderEvent.REFUNDED_PART),
        (1000, 1000, OrderEvent.REFUNDED_ALL),
        (1000, 1001, OrderEvent.REFUNDED_ALL),
        (0, 0, OrderEvent.REFUNDED_NOTHING),
    ],
)
def test_the_running_total_says_how_much_of_an_order_went_back(
    captured: int, refunded: int, event: OrderEvent
) -> None:
    assert refund_event(captured, refunded) is event


def test_what_is_reserved_cannot_be_promised_again() -> None:
    payment = Payment(
        id="pay_1",
        order_id="ord_1",
        provider="sandbox",
        flow=PaymentFlow.CHARGE,
        status=PaymentStatus.SUCCEEDED,
        amount=eur(1000),
        attempt=1,
        created_at=PAID_AT,
        captured_minor=1000,
        refund_reserved_minor=400,
        refunded_minor=100,
    )
    assert payment.refundable == eur(600)
    assert not payment.is_live
