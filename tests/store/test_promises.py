"""One charge per period, one live payment per order, no refund beyond what was taken: kept by the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from psycopg import errors, sql

from shared_lib.domain.payment import LIVE as LIVE_PAYMENTS
from shared_lib.domain.payment import PaymentStatus
from tests.kit.examples import DAY
from tests.store.row_writer import JULY, JUNE, MAY, RowWriter

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
def test_periods_of_one_subscription_never_overlap(writer: RowWriter, start: datetime, end: datetime) -> None:
    subscription = writer.subscription()
    writer.cycle(subscription, 1, MAY, JUNE)
    with pytest.raises(errors.ExclusionViolation):
        writer.cycle(subscription, 2, start, end)


def test_periods_may_touch_and_other_subscriptions_may_share_them(writer: RowWriter) -> None:
    subscription = writer.subscription()
    writer.cycle(subscription, 2, MAY, JUNE)
    writer.cycle(subscription, 1, MAY - 30 * DAY, MAY)
    writer.cycle(subscription, 3, JUNE, JULY)
    writer.cycle(writer.subscription("cus_2"), 2, MAY, JUNE)


def test_two_hundred_subscriptions_do_not_stand_in_each_others_way(writer: RowWriter) -> None:
    """Ids are compared by digest: no two of these may look alike to the constraint."""
    for n in range(200):
        writer.cycle(writer.subscription(f"cus_{n}"), 1, MAY, JUNE)
    ((different,),) = writer.run(sql.SQL("SELECT count(DISTINCT id_address(subscription_id)) FROM orders"))
    assert different == 200


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_even_an_order_that_was_never_collected_keeps_its_period(writer: RowWriter, status: str) -> None:
    """It ends with its subscription, so no other order may want the period; late money may still want this one."""
    subscription = writer.subscription()
    writer.cycle(subscription, 1, MAY, JUNE, status)
    with pytest.raises(errors.ExclusionViolation, match="orders_periods_do_not_overlap"):
        writer.cycle(subscription, 2, MAY + DAY, JUNE + DAY)


@pytest.mark.parametrize("status", ["paid", "pending", "canceled", "expired", "refunded"])
def test_a_period_has_one_cycle_order_whatever_became_of_it(writer: RowWriter, status: str) -> None:
    subscription = writer.subscription()
    writer.cycle(subscription, 1, MAY, JUNE, status)
    with pytest.raises(errors.UniqueViolation, match="orders_one_per_period"):
        writer.cycle(subscription, 1, JUNE, JULY)


def test_orders_without_a_period_are_as_many_as_one_likes(writer: RowWriter) -> None:
    subscription = writer.subscription()
    for _ in range(3):
        writer.order(subscription_id=subscription)


def test_half_a_period_is_none(writer: RowWriter) -> None:
    with pytest.raises(errors.CheckViolation, match="orders_period_whole_or_absent"):
        writer.order(subscription_id=writer.subscription(), period_n=1, period_start=MAY)


# --- No order is charged twice, and no refund exceeds what was taken.


@pytest.mark.parametrize("first", [*sorted(LIVE_PAYMENTS), PaymentStatus.SUCCEEDED])
@pytest.mark.parametrize("second", [PaymentStatus.CREATED, PaymentStatus.UNKNOWN, PaymentStatus.SUCCEEDED])
def test_an_order_with_a_live_or_succeeded_payment_refuses_another(
    writer: RowWriter, first: PaymentStatus, second: PaymentStatus
) -> None:
    order = writer.order()
    writer.payment(order, first)
    with pytest.raises(errors.UniqueViolation, match="payments_one_live_per_order"):
        writer.payment(order, second)


def test_a_second_payment_cannot_become_live_later_either(writer: RowWriter) -> None:
    order = writer.order()
    writer.payment(order, "succeeded")
    late = writer.payment(order, "expired")
    with pytest.raises(errors.UniqueViolation, match="payments_one_live_per_order"):
        writer.run(sql.SQL("UPDATE payments SET status = 'succeeded' WHERE id = %s"), late)
    writer.run(sql.SQL("UPDATE payments SET status = 'succeeded', surplus = true WHERE id = %s"), late)


@pytest.mark.parametrize("first", sorted(set(PaymentStatus) - LIVE_PAYMENTS - {PaymentStatus.SUCCEEDED}))
def test_after_a_definitive_no_the_order_may_be_tried_again(writer: RowWriter, first: PaymentStatus) -> None:
    order = writer.order()
    writer.payment(order, first)
    writer.payment(order, "created")


def test_surplus_money_is_written_down_beside_the_payment_it_doubles(writer: RowWriter) -> None:
    order = writer.order()
    writer.payment(order, "succeeded")
    writer.payment(order, "succeeded", surplus=True)
    writer.payment(order, "succeeded", surplus=True)


def test_a_providers_reference_belongs_to_one_payment(writer: RowWriter) -> None:
    writer.payment(writer.order(), "pending", provider_ref="psp_1")
    writer.payment(writer.order(), "pending", provider_ref="psp_1", provider="other")
    with pytest.raises(errors.UniqueViolation, match="payments_one_per_provider_ref"):
        writer.payment(writer.order(), "pending", provider_ref="psp_1")


def test_refunds_reserve_no_more_than_was_captured(writer: RowWriter) -> None:
    payment = writer.payment(writer.order(), "succeeded", captured_minor=999)
    reserve = sql.SQL("UPDATE payments SET refund_reserved_minor = refund_reserved_minor + %s WHERE id = %s")
    writer.run(reserve, 998, payment)
    writer.run(reserve, 1, payment)
    for beyond in (1, -1000):
        with pytest.raises(errors.CheckViolation, match="payments_refunds_within_captured"):
            writer.run(reserve, beyond, payment)
