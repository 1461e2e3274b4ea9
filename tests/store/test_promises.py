"""One charge per period, one live payment per order, no refund beyond what was taken: kept by the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from psycopg import errors, sql

from shared_lib.domain.payment import LIVE as LIVE_PAYMENTS
from shared_lib.domain.payment import PaymentStatus
from tests.domain.examples import DAY
from tests.store.box import JULY, JUNE, MAY, Box

# --- One charge per period.


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (MAY, JUNE),
        (MAY - DAY, MAY + timedelta(microseconds=1)),
        (JUNE - timedelta(microseconds=1), JULY),
        (MAY + DAY, JUNE - DAY),
        (MAY - DAY, JUNE + DAY),
    ],
)
def test_periods_of_one_subscription_never_overlap(box: Box, start: datetime, end: datetime) -> None:
    subscription = box.subscription()
    box.cycle(subscription, 1, MAY, JUNE)
    with pytest.raises(errors.ExclusionViolation):
        box.cycle(subscription, 2, start, end)


def test_periods_may_touch_and_other_subscriptions_may_share_them(box: Box) -> None:
    subscription = box.subscription()
    box.cycle(subscription, 2, MAY, JUNE)
    box.cycle(subscription, 1, MAY - 30 * DAY, MAY)
    box.cycle(subscription, 3, JUNE, JULY)
    box.cycle(box.subscription("cus_2"), 2, MAY, JUNE)


def test_two_hundred_subscriptions_do_not_stand_in_each_others_way(box: Box) -> None:
    """Ids are compared by digest: no two of these may look alike to the constraint."""
    for n in range(200):
        box.cycle(box.subscription(f"cus_{n}"), 1, MAY, JUNE)
    ((different,),) = box.run(sql.SQL("SELECT count(DISTINCT id_address(subscription_id)) FROM orders"))
    assert different == 200


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_even_an_order_that_was_never_collected_keeps_its_period(box: Box, status: str) -> None:
    """It ends with its subscription, so no other order may want the period; late money may still want this one."""
    subscription = box.subscription()
    box.cycle(subscription, 1, MAY, JUNE, status)
    with pytest.raises(errors.ExclusionViolation, match="orders_periods_do_not_overlap"):
        box.cycle(subscription, 2, MAY + DAY, JUNE + DAY)


@pytest.mark.parametrize("status", ["paid", "pending", "canceled", "expired", "refunded"])
def test_a_period_has_one_cycle_order_whatever_became_of_it(box: Box, status: str) -> None:
    subscription = box.subscription()
    box.cycle(subscription, 1, MAY, JUNE, status)
    with pytest.raises(errors.UniqueViolation, match="orders_one_per_period"):
        box.cycle(subscription, 1, JUNE, JULY)


def test_orders_without_a_period_are_as_many_as_one_likes(box: Box) -> None:
    subscription = box.subscription()
    for _ in range(3):
        box.order(subscription_id=subscription)


def test_half_a_period_is_none(box: Box) -> None:
    with pytest.raises(errors.CheckViolation, match="orders_period_whole_or_absent"):
        box.order(subscription_id=box.subscription(), period_n=1, period_start=MAY)


# --- Nobody is charged twice, and nobody is given back more than was taken.


@pytest.mark.parametrize("first", [*sorted(LIVE_PAYMENTS), PaymentStatus.SUCCEEDED])
@pytest.mark.parametrize("second", [PaymentStatus.CREATED, PaymentStatus.UNKNOWN, PaymentStatus.SUCCEEDED])
def test_an_order_with_a_live_or_succeeded_payment_refuses_another(
    box: Box, first: PaymentStatus, second: PaymentStatus
) -> None:
    order = box.order()
    box.payment(order, first)
    with pytest.raises(errors.UniqueViolation, match="payments_one_live_per_order"):
        box.payment(order, second)


def test_a_second_payment_cannot_become_live_later_either(box: Box) -> None:
    order = box.order()
    box.payment(order, "succeeded")
    late = box.payment(order, "expired")
    with pytest.raises(errors.UniqueViolation, match="payments_one_live_per_order"):
        box.run(sql.SQL("UPDATE payments SET status = 'succeeded' WHERE id = %s"), late)
    box.run(sql.SQL("UPDATE payments SET status = 'succeeded', surplus = true WHERE id = %s"), late)


@pytest.mark.parametrize("first", sorted(set(PaymentStatus) - LIVE_PAYMENTS - {PaymentStatus.SUCCEEDED}))
def test_after_a_definitive_no_the_order_may_be_tried_again(box: Box, first: PaymentStatus) -> None:
    order = box.order()
    box.payment(order, first)
    box.payment(order, "created")


def test_surplus_money_is_written_down_beside_the_payment_it_doubles(box: Box) -> None:
    order = box.order()
    box.payment(order, "succeeded")
    box.payment(order, "succeeded", surplus=True)
    box.payment(order, "succeeded", surplus=True)


def test_a_providers_reference_belongs_to_one_payment(box: Box) -> None:
    box.payment(box.order(), "pending", provider_ref="psp_1")
    box.payment(box.order(), "pending", provider_ref="psp_1", provider="other")
    with pytest.raises(errors.UniqueViolation, match="payments_one_per_provider_ref"):
        box.payment(box.order(), "pending", provider_ref="psp_1")


def test_refunds_reserve_no_more_than_was_captured(box: Box) -> None:
    payment = box.payment(box.order(), "succeeded", captured_minor=999)
    reserve = sql.SQL("UPDATE payments SET refund_reserved_minor = refund_reserved_minor + %s WHERE id = %s")
    box.run(reserve, 998, payment)
    box.run(reserve, 1, payment)
    for beyond in (1, -1000):
        with pytest.raises(errors.CheckViolation, match="payments_refunds_within_captured"):
            box.run(reserve, beyond, payment)
