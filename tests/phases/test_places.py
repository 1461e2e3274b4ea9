"""Owned once: a customer has one place per product and kind, and the database gives it to one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shared_lib.billing.orders import OpenedOrder
from shared_lib.billing.refund_requests import OpenRefund
from shared_lib.billing.replies import Key
from shared_lib.billing.reports import PaymentReport, RefundReport
from shared_lib.domain.catalog import ProviderTerms
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import Money
from shared_lib.domain.values import replace
from shared_lib.phases.orders import open_orders
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.refunds import open_refunds, settle_refunds
from shared_lib.providers.base import PaymentRef, PaymentState, RefundSnapshot, RefundState
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.transaction import transaction
from tests.kit.waiting import until
from tests.phases.runner import (
    BASIC,
    FILM,
    PLUS,
    STALKER,
    PhaseRunner,
    canceled,
    reply,
    said,
    succeeded,
    want,
)

RENTAL, PLUS_YEAR = "prc_metropolis_rent", "prc_plus_year"
ANYTHING = [FILM, RENTAL, BASIC]
OTHER = ProviderTerms(name="other", currencies=frozenset({"EUR"}), minimum_minor={})


async def holders(phases: PhaseRunner) -> list[str]:
    return [row[0] for row in await phases.rows("SELECT id FROM orders WHERE holds ORDER BY id")]


async def refused(phases: PhaseRunner, *wanted: Any) -> list[Refusal]:
    answers = await phases.commit(open_orders, *wanted)
    assert all(isinstance(answer, Refusal) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Refusal)]


@asynccontextmanager
async def coalescer(database_url: str) -> AsyncIterator[Batcher]:
    pool = connection_pool(database_url, connections_max=2)
    await pool.open()
    try:
        yield Batcher(pool, writers=2)
    finally:
        await pool.close()


def waiting(database_url: str, what: str) -> bool:
    """Whether a connection of the coalescer waits for a lock of this kind."""
    with psycopg.connect(database_url, autocommit=True) as db:
        return bool(
            db.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = %s", [what]
            ).fetchall()
        )


# ---- while an order is open ----------------------------------------------------------------------------------


@pytest.mark.parametrize("price_id", ANYTHING)
async def test_an_open_order_answers_every_other_key(phases: PhaseRunner, price_id: str) -> None:
    (first,) = await phases.opened(want(price_id))
    pending = said(first.payment, PaymentState.PENDING, checkout_url="https://pay.test/1")
    await phases.settled(PaymentReport(payment_id=first.payment.id, outcome=pending))
    again = want(price_id, key="other")
    (second,) = await phases.opened(again)
    assert (second.order.id, second.to_ask) == (first.order.id, None)
    assert second.reply == reply(second.order, second.payment)
    assert await phases.commit(open_orders, again) == [second.reply]
    assert await phases.value("SELECT count(*) FROM payments") == 1


async def test_in_one_batch_the_second_is_answered_with_the_order_of_the_first(phases: PhaseRunner) -> None:
    first, second, other = await phases.opened(want(FILM), want(FILM), want(FILM, "bob"))
    assert first.to_ask
    assert first.reply is None
    assert (second.order.id, second.to_ask) == (first.order.id, None)
    assert second.reply == reply(first.order, first.payment)
    assert other.order.id != first.order.id
    assert await phases.rows("SELECT count(*) FROM orders") == [(2,)]


async def test_another_price_or_provider_names_the_order_that_is_open(phases: PhaseRunner) -> None:
    (first,) = await phases.opened(want(PLUS))
    year, elsewhere = await refused(phases, want(PLUS_YEAR), replace(want(PLUS), terms=[OTHER]))
    assert {year.code, elsewhere.code} == {Code.ORDER_OPEN}
    assert {year.order_id, elsewhere.order_id} == {first.order.id}
    await phases.settled(canceled(first.payment))
    assert await phases.opened(want(PLUS_YEAR))


async def test_an_order_past_its_time_that_is_not_closed_yet_asks_for_a_moment(phases: PhaseRunner) -> None:
    (first,) = await phases.opened(want(FILM))
    await phases.advance(timedelta(hours=24, seconds=1))
    (refusal,) = await refused(phases, want(FILM))
    assert (refusal.code, refusal.order_id) == (Code.ORDER_OPEN, first.order.id)
    assert refusal.retry_after_s
    await phases.settled(
        PaymentReport(payment_id=first.payment.id, outcome=said(first.payment, PaymentState.EXPIRED))
    )
    (second,) = await phases.opened(want(FILM))
    assert await holders(phases) == [second.order.id]


async def test_buying_while_renting_is_possible_and_renting_what_is_bought_is_not(
    phases: PhaseRunner,
) -> None:
    await phases.bought(want(RENTAL))
    (again,) = await refused(phases, want(RENTAL))
    assert again.code is Code.ALREADY_RENTED
    await phases.bought(want(FILM))
    both = await refused(phases, want(RENTAL), want(FILM))
    assert [refusal.code for refusal in both] == [Code.ALREADY_OWNED] * 2


async def test_open_orders_of_one_customer_are_bounded_in_a_batch_and_across(phases: PhaseRunner) -> None:
    rent, buy = "prc_stalker_rent", STALKER
    answers = await phases.commit(
        open_orders, *(want(price_id, open_max=2) for price_id in (FILM, RENTAL, buy, FILM, rent))
    )
    codes = [answer.code if isinstance(answer, Refusal) else None for answer in answers]
    too_many = Code.TOO_MANY_OPEN_ORDERS
    assert codes == [None, None, too_many, None, too_many]  # the fourth is the order that is open already
    (still,) = await refused(phases, want(buy, open_max=2))
    assert still.code is too_many
    assert await phases.opened(want(buy, "bob", open_max=2))
    first = answers[0]
    assert isinstance(first, OpenedOrder)
    await phases.settled(succeeded(first.payment))
    assert await phases.opened(want(buy, open_max=2))


# ---- when it is over -----------------------------------------------------------------------------------------


async def test_a_rental_that_is_over_makes_room_for_another(phases: PhaseRunner) -> None:
    await phases.bought(want(RENTAL))
    await phases.advance(timedelta(days=30, seconds=1))
    (second,) = await phases.bought(want(RENTAL))
    assert await holders(phases) == [second.order.id]
    assert await phases.value("SELECT count(*) FROM entitlements") == 2


async def test_a_subscription_that_ended_makes_room_for_another(phases: PhaseRunner) -> None:
    await phases.bought(want(BASIC))
    await phases.rows("UPDATE subscriptions SET status = 'canceled', next_action_at = NULL RETURNING id")
    (second,) = await phases.bought(want(BASIC))
    assert await holders(phases) == [second.order.id]


async def test_what_was_returned_can_be_bought_again_and_a_bounced_refund_gives_access_without_the_place(
    phases: PhaseRunner,
) -> None:
    (first,) = await phases.bought(want(FILM))
    await returned(phases, first.order.id)
    (second,) = await phases.opened(want(FILM))
    await refunded(phases, RefundState.FAILED)
    assert await holders(phases) == [second.order.id]
    assert await phases.rows("SELECT order_id, status FROM entitlements") == [(first.order.id, "active")]
    await phases.settled(succeeded(second.payment))  # paid for what is owned: it goes back
    assert await phases.rows("SELECT order_id FROM payments WHERE surplus") == [(second.order.id,)]
    (owned,) = await refused(phases, want(FILM))
    assert owned.code is Code.ALREADY_OWNED


async def returned(phases: PhaseRunner, order_id: str) -> None:
    await phases.commit(
        open_refunds,
        OpenRefund(
            key=Key("ann", "POST /v1/refunds", "k", b"r"),
            order_id=order_id,
            requested_by="ann",
            by_operator=False,
            reason="wrong film",
            amount_minor=None,
            access=None,
            render=lambda refund: reply(refund, refund),
        ),
    )
    await refunded(phases, RefundState.SUCCEEDED)


async def refunded(phases: PhaseRunner, state: RefundState) -> None:
    ((refund_id, minor),) = await phases.rows("SELECT id, amount_minor FROM refunds WHERE NOT surplus")
    told = RefundSnapshot(
        provider_refund_id="sr_1",
        our_refund_id=refund_id,
        payment=PaymentRef(provider="sandbox", provider_payment_id="sp_1"),
        state=state,
        amount=Money(minor, "EUR"),
    )
    await phases.commit(settle_refunds, RefundReport(refund_id=refund_id, outcome=told))


# ---- late money ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price_id", ANYTHING)
async def test_late_money_takes_a_free_place_back(phases: PhaseRunner, price_id: str) -> None:
    (late,) = await phases.opened(want(price_id))
    await phases.settled(canceled(late.payment))
    assert await holders(phases) == []
    await phases.settled(succeeded(late.payment))
    assert await holders(phases) == [late.order.id]
    assert await phases.rows("SELECT status, surplus FROM payments") == [("succeeded", False)]


@pytest.mark.parametrize("price_id", ANYTHING)
@pytest.mark.parametrize("late_first", [True, False])
async def test_late_money_never_takes_the_place_of_another_order(
    phases: PhaseRunner, price_id: str, *, late_first: bool
) -> None:
    (late,) = await phases.opened(want(price_id))
    await phases.settled(canceled(late.payment))
    (other,) = await phases.opened(want(price_id))
    news = [succeeded(late.payment), succeeded(other.payment)]
    await phases.settled(*(news if late_first else reversed(news)))
    assert await holders(phases) == [other.order.id]
    assert await phases.rows("SELECT order_id FROM payments WHERE surplus") == [(late.order.id,)]


@pytest.mark.parametrize("price_id", ANYTHING)
async def test_of_two_late_payments_in_one_batch_one_is_delivered(phases: PhaseRunner, price_id: str) -> None:
    (one,) = await phases.opened(want(price_id))
    await phases.settled(canceled(one.payment))
    (two,) = await phases.opened(want(price_id))
    await phases.settled(canceled(two.payment))
    await phases.settled(succeeded(two.payment), succeeded(one.payment))
    assert await holders(phases) == [two.order.id]
    assert await phases.rows("SELECT order_id FROM payments WHERE surplus") == [(one.order.id,)]


@pytest.mark.parametrize("price_id", ANYTHING)
async def test_a_place_is_left_and_taken_in_one_batch(phases: PhaseRunner, price_id: str) -> None:
    (late,) = await phases.opened(want(price_id))
    await phases.settled(canceled(late.payment))
    (other,) = await phases.opened(want(price_id))
    await phases.settled(canceled(other.payment), succeeded(late.payment))
    assert await holders(phases) == [late.order.id]
    assert await phases.value("SELECT count(*) FROM entitlements") == 1


async def test_late_money_for_a_rental_takes_the_place_of_one_that_is_over(phases: PhaseRunner) -> None:
    (late,) = await phases.opened(want(RENTAL))
    await phases.settled(canceled(late.payment))
    await phases.bought(want(RENTAL))
    await phases.advance(timedelta(days=31))
    await phases.settled(succeeded(late.payment))
    assert await holders(phases) == [late.order.id]
    assert await phases.value("SELECT count(*) FROM payments WHERE surplus") == 0


async def test_money_for_the_rental_of_a_title_that_was_bought_meanwhile_goes_back(
    phases: PhaseRunner,
) -> None:
    rented, bought = await phases.opened(want(RENTAL), want(FILM))
    await phases.settled(succeeded(bought.payment), succeeded(rented.payment))
    assert await phases.rows("SELECT order_id FROM payments WHERE surplus") == [(rented.order.id,)]


# ---- two connections at once ---------------------------------------------------------------------------------


async def test_of_two_late_payments_on_two_connections_the_database_refuses_one(
    phases: PhaseRunner, database_url: str
) -> None:
    """Both find the place free; the one that commits later reads again, and its money goes back."""
    (one,) = await phases.opened(want(RENTAL))
    await phases.settled(canceled(one.payment))
    (two,) = await phases.opened(want(RENTAL))
    await phases.settled(canceled(two.payment))
    async with (
        coalescer(database_url) as batcher,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        async with transaction(connection) as tx:
            await settle_payments(tx, [succeeded(one.payment)])
            await tx.flush()
            await tx.fetch("SELECT 1")  # the writes have been made, and are not committed
            second = asyncio.ensure_future(batcher.run(settle_payments, succeeded(two.payment)))
            await until(lambda: waiting(database_url, "transactionid"))
        answer = await second
    assert answer
    assert answer.settled.payment.surplus
    assert await holders(phases) == [one.order.id]


async def test_an_order_that_is_opened_while_late_money_takes_the_place_hears_that_it_is_owned(
    phases: PhaseRunner, database_url: str
) -> None:
    (late,) = await phases.opened(want(FILM))
    await phases.settled(canceled(late.payment))
    async with (
        coalescer(database_url) as batcher,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        async with transaction(connection) as tx:
            await settle_payments(tx, [succeeded(late.payment)])
            await tx.flush()
            await tx.fetch("SELECT 1")
            second = asyncio.ensure_future(batcher.run(open_orders, want(FILM)))
            await until(lambda: waiting(database_url, "transactionid"))
        answer = await second
    assert isinstance(answer, Refusal)
    assert answer.code is Code.ALREADY_OWNED


async def test_requests_of_one_customer_on_two_connections_take_turns(
    phases: PhaseRunner, database_url: str
) -> None:
    async with (
        coalescer(database_url) as batcher,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        async with transaction(connection) as tx:
            (first,) = await open_orders(tx, [want(FILM, open_max=1)])
            both = [asyncio.ensure_future(batcher.run(open_orders, want(price_id, open_max=1)))
                    for price_id in (FILM, STALKER)]  # fmt: skip
            await until(lambda: waiting(database_url, "advisory"))
        same, other = await asyncio.gather(*both)
    assert isinstance(first, OpenedOrder)
    assert isinstance(same, OpenedOrder)
    assert same.order.id == first.order.id
    assert isinstance(other, Refusal)
    assert other.code is Code.TOO_MANY_OPEN_ORDERS
    assert await phases.value("SELECT count(*) FROM orders") == 1
