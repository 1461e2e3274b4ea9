"""W3-W5, W13 and W14 around a renewal: killed, canceled, doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shared_lib.billing.due import RenewalRequest
from shared_lib.billing.reports import LocalOutcome, PaymentReport
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.renewals import OpenedRenewal, open_renewals
from shared_lib.queries.due import due_subscriptions
from tests.crash.renewing import (
    CYCLE,
    CYCLE_PAYMENTS,
    JOB,
    NONE_OPENED,
    TICK,
    assert_renewed_once,
    due,
    opt_out,
)
from tests.kit.cinema import Cinema
from tests.kit.crash_points import Pause, watch
from tests.kit.instance import second_instance
from tests.kit.recovery import assert_charged_once, come_to_rest, provider_payments, single
from tests.kit.waiting import until


@pytest.mark.crash
@pytest.mark.parametrize("window", ["open_renewals:before_commit", "open_renewals:after_commit"])
async def test_w14_a_tick_killed_around_its_commit_is_repeated_and_charges_once(
    cinema: Cinema, window: str
) -> None:
    await due(cinema)
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.event(TICK))
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


@pytest.mark.crash
@pytest.mark.parametrize(
    "window",
    [
        "open_renewals:after_commit",  # W3
        "charge:before",  # W3
        "charge:after",  # W4
        "settle_payments:before_commit",  # W4
        "settle_payments:after_commit",  # W5
    ],
)
async def test_w3_w4_w5_a_killed_charge_is_taken_over_and_taken_once(cinema: Cinema, window: str) -> None:
    await due(cinema)
    async with second_instance(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.event(TICK))
    await come_to_rest(cinema)
    assert len(await provider_payments(cinema, single(cinema, CYCLE))) == 1
    await assert_renewed_once(cinema)
    receipts = (
        "SELECT count(*) FROM notifications WHERE event_type = 'billing.order.paid' AND status = 'sent'"
    )
    assert cinema.value(receipts) == 2


async def test_w4_a_paused_owner_that_wakes_up_after_its_lease_changes_nothing(cinema: Cinema) -> None:
    await due(cinema)
    pause = Pause("charge:before")
    watch(cinema.rt, pause)
    sleeping = asyncio.create_task(cinema.event(TICK))
    await pause.reached.wait()
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)
    pause.go_on.set()
    assert (await sleeping).is_success
    assert len(await provider_payments(cinema, single(cinema, CYCLE))) == 1
    await assert_renewed_once(cinema)


@pytest.mark.parametrize("silence", list(LocalOutcome))
async def test_w4_silence_under_an_old_lease_means_nothing(cinema: Cinema, silence: LocalOutcome) -> None:
    order = await cinema.order("prc_metropolis_buy")
    payment_id = order["payment"]["id"]
    with cinema.db() as db:
        db.execute("UPDATE payments SET status = 'sending', fence = 2")
    await cinema.rt.run(settle_payments, PaymentReport(payment_id=payment_id, outcome=silence, fence=1))
    assert single(cinema, "SELECT status FROM payments") == "sending"
    await cinema.rt.run(settle_payments, PaymentReport(payment_id=payment_id, outcome=silence, fence=2))
    assert single(cinema, "SELECT status FROM payments") != "sending"


async def test_w13_cancel_first_and_the_renewal_skips(cinema: Cinema) -> None:
    subscription = await due(cinema)
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is False
    await come_to_rest(cinema)
    assert cinema.rows(CYCLE) == []
    assert len(await provider_payments(cinema)) == 1
    assert single(cinema, "SELECT status FROM subscriptions") == "canceled"
    await cinema.assert_balanced()


@pytest.mark.crash
async def test_w13_opened_and_killed_then_cancel_and_the_charge_is_never_sent(cinema: Cinema) -> None:
    subscription = await due(cinema)
    async with second_instance(cinema, "open_renewals:after_commit") as doomed:
        await doomed.dies_during(doomed.cinema.event(TICK))
    assert cinema.rows(CYCLE_PAYMENTS) == [("sending",)]
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is True  # for all we know
    await come_to_rest(cinema)
    assert cinema.rows(CYCLE_PAYMENTS) == [("canceled",)]
    assert len(await provider_payments(cinema)) == 1
    assert single(cinema, "SELECT status FROM subscriptions") == "canceled"
    await cinema.assert_balanced()


async def assert_returned_by_itself(cinema: Cinema) -> None:
    """The late charge stands in the books and went back; the customer is out and was told."""
    await come_to_rest(cinema)
    assert single(cinema, "SELECT status FROM subscriptions") == "canceled"
    await assert_charged_once(cinema, single(cinema, CYCLE), refunded_minor=799)
    assert cinema.rows("SELECT surplus, status FROM refunds") == [(True, "succeeded")]
    told = (
        "SELECT count(*) FROM notifications WHERE event_type = 'billing.payment.surplus' AND status = 'sent'"
    )
    assert cinema.value(told) == 1


async def test_w13_sent_then_cancel_and_the_charge_finishes_and_is_returned_by_itself(cinema: Cinema) -> None:
    subscription = await due(cinema)
    pause = Pause("charge:before")
    watch(cinema.rt, pause)
    charging = asyncio.create_task(cinema.event(TICK))
    await pause.reached.wait()
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is True
    pause.go_on.set()
    assert (await charging).is_success
    await assert_returned_by_itself(cinema)


@pytest.mark.crash
async def test_w13_sent_killed_then_cancel_and_the_charge_is_found_and_returned(cinema: Cinema) -> None:
    subscription = await due(cinema)
    async with second_instance(cinema, "charge:after") as doomed:
        await doomed.dies_during(doomed.cinema.event(TICK))
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is True
    await assert_returned_by_itself(cinema)


async def test_w14_ticks_and_jobs_in_two_processes_at_once_charge_once(cinema: Cinema) -> None:
    await due(cinema)
    async with second_instance(cinema) as other:
        both = (cinema, other.cinema)
        ticks, jobs = (
            [one.event(*kind) for one in both for _ in range(8)] for kind in ((TICK,), (JOB, NONE_OPENED))
        )
        await all_succeed([*ticks, *jobs])
        await all_succeed(one.event(TICK) for one in both for _ in range(2))
    await come_to_rest(cinema)
    assert len(await provider_payments(cinema, single(cinema, CYCLE))) == 1
    await assert_renewed_once(cinema)


async def test_w14_a_tick_in_the_middle_of_another_ones_transaction_charges_nothing_more(
    cinema: Cinema,
) -> None:
    await due(cinema)
    pause = Pause("open_renewals:before_commit")
    watch(cinema.rt, pause)
    first = asyncio.create_task(cinema.event(TICK))
    await pause.reached.wait()
    second = asyncio.create_task(cinema.event(TICK))
    # Were it to wait for the first one's rows, it would go on with what it read before: so the first commits at once.
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    await until(lambda: second.done() or cinema.value(waits))
    pause.go_on.set()
    await all_succeed([first, second])
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


async def test_w14_two_ticks_in_one_batch_open_one_order(cinema: Cinema) -> None:
    await due(cinema)
    (due_now,) = await cinema.rt.read(due_subscriptions, 10)
    wanted = RenewalRequest(subscription_id=due_now.id)
    first, second = await cinema.rt.run_all(open_renewals, [wanted, wanted])
    assert isinstance(first, OpenedRenewal)
    assert first.to_charge
    assert second == OpenedRenewal(looked_at=False)
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


async def all_succeed(calls: Any) -> None:
    answers: list[httpx.Response] = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
