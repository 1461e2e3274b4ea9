"""W3-W5 and W13-W16 around a renewal: killed, canceled, doubled, paid by hand, and left without an answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared_lib.phases.claims import Claim, claim_payments
from shared_lib.phases.observations import Observed, Silence
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.renewals import OpenRenewals, open_renewals
from tests.cinema import Cinema
from tests.crash.boundaries import watch
from tests.crash.mortal import mortal
from tests.crash.rest import assert_charged_once, come_to_rest, leases_end, provider_payments, single

TICK, JOB = "billing.tick.renewal", "billing.job.charge_renewals"
CYCLE = "SELECT id FROM orders WHERE billing_reason = 'subscription_cycle'"
CYCLE_PAYMENTS = "SELECT p.status FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.period_n = 2"


class Pause:
    """Holds whoever reaches a boundary first, until told to go on."""

    def __init__(self, boundary: str) -> None:
        self._boundary = boundary
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, boundary: str) -> None:
        if boundary == self._boundary and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()


async def due(cinema: Cinema, number: str = "4242424242424242") -> Any:
    """A subscription whose first month is over. Its webhooks get lost: what is known is known by asking."""
    await cinema.bought("prc_basic_month", number=number)
    await come_to_rest(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    ((subscription, left),) = cinema.rows("SELECT id, period_end - boxoffice_now() FROM subscriptions")
    await cinema.advance(left)
    return subscription


async def opt_out(cinema: Cinema, subscription: str) -> dict[str, Any]:
    answer = await cinema.call("PATCH", f"/v1/subscriptions/{subscription}", {"auto_renew": False})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def assert_renewed_once(cinema: Cinema) -> None:
    assert cinema.rows("SELECT status, period_n FROM subscriptions") == [("active", 2)]
    await assert_charged_once(cinema, single(cinema, CYCLE))


def charge_job(cinema: Cinema) -> dict[str, Any]:
    found: dict[str, Any] = single(cinema, f"SELECT data FROM outbox WHERE type = '{JOB}'")
    return found


@pytest.mark.crash
@pytest.mark.parametrize("window", ["open_renewals:before_commit", "open_renewals:after_commit"])
async def test_w14_a_tick_killed_around_its_commit_is_repeated_and_charges_once(
    cinema: Cinema, window: str
) -> None:
    await due(cinema)
    async with mortal(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.event(TICK))
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


@pytest.mark.crash
@pytest.mark.parametrize(
    "window",
    [
        "claim_payments:after_commit",  # W3
        "charge:before",  # W3
        "charge:after",  # W4
        "settle_payments:before_commit",  # W4
        "settle_payments:after_commit",  # W5
    ],
)
async def test_w3_w4_w5_a_killed_charge_is_taken_over_and_taken_once(cinema: Cinema, window: str) -> None:
    await due(cinema)
    assert (await cinema.event(TICK)).is_success
    async with mortal(cinema, window) as doomed:
        await doomed.dies_during(doomed.cinema.event(JOB, charge_job(cinema)))
    await come_to_rest(cinema)
    assert len(await provider_payments(cinema, single(cinema, CYCLE))) == 1
    await assert_renewed_once(cinema)
    receipts = (
        "SELECT count(*) FROM notifications WHERE event_type = 'billing.order.paid' AND status = 'sent'"
    )
    assert cinema.value(receipts) == 2


async def test_w4_a_paused_owner_that_wakes_up_after_its_lease_changes_nothing(cinema: Cinema) -> None:
    await due(cinema)
    assert (await cinema.event(TICK)).is_success
    pause = Pause("charge:before")
    watch(cinema.rt, pause)
    sleeping = asyncio.create_task(cinema.event(JOB, charge_job(cinema)))
    await pause.reached.wait()
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)
    pause.go_on.set()
    assert (await sleeping).is_success
    assert len(await provider_payments(cinema, single(cinema, CYCLE))) == 1
    await assert_renewed_once(cinema)


@pytest.mark.parametrize("silence", list(Silence))
async def test_w4_silence_under_an_old_lease_means_nothing(cinema: Cinema, silence: Silence) -> None:
    order = await cinema.order("prc_metropolis_buy")
    payment_id = order["payment"]["id"]
    with cinema.db() as db:
        db.execute("UPDATE payments SET status = 'sending', fence = 2")
    await cinema.rt.run(settle_payments, Observed(payment_id=payment_id, said=silence, fence=1))
    assert single(cinema, "SELECT status FROM payments") == "sending"
    await cinema.rt.run(settle_payments, Observed(payment_id=payment_id, said=silence, fence=2))
    assert single(cinema, "SELECT status FROM payments") != "sending"


async def test_w13_cancel_first_and_the_renewal_skips(cinema: Cinema) -> None:
    subscription = await due(cinema)
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is False
    await come_to_rest(cinema)
    assert cinema.rows(CYCLE) == []
    assert len(await provider_payments(cinema)) == 1
    assert single(cinema, "SELECT status FROM subscriptions") == "canceled"
    await cinema.assert_balanced()


async def test_w13_claim_first_then_cancel_and_the_charge_is_never_sent(cinema: Cinema) -> None:
    subscription = await due(cinema)
    assert (await cinema.event(TICK)).is_success
    assert cinema.rows(CYCLE_PAYMENTS) == [("created",)]
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is False
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
    assert (await cinema.event(TICK)).is_success
    pause = Pause("charge:before")
    watch(cinema.rt, pause)
    charging = asyncio.create_task(cinema.event(JOB, charge_job(cinema)))
    await pause.reached.wait()
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is True
    pause.go_on.set()
    assert (await charging).is_success
    await assert_returned_by_itself(cinema)


@pytest.mark.crash
async def test_w13_sent_killed_then_cancel_and_the_charge_is_found_and_returned(cinema: Cinema) -> None:
    subscription = await due(cinema)
    assert (await cinema.event(TICK)).is_success
    async with mortal(cinema, "charge:after") as doomed:
        await doomed.dies_during(doomed.cinema.event(JOB, charge_job(cinema)))
    assert (await opt_out(cinema, subscription))["charge_in_flight"] is True
    await assert_returned_by_itself(cinema)


async def test_w14_ticks_and_jobs_in_two_processes_at_once_charge_once(cinema: Cinema) -> None:
    await due(cinema)
    async with mortal(cinema) as other:
        await all_succeed(one.event(TICK) for one in (cinema, other.cinema) for _ in range(8))
        job = charge_job(cinema)
        await all_succeed(one.event(JOB, job) for one in (cinema, other.cinema) for _ in range(8))
        await all_succeed(one.event(TICK) for one in (cinema, other.cinema) for _ in range(2))
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
    assert (await cinema.event(TICK)).is_success
    pause.go_on.set()
    assert (await first).is_success
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


async def test_w14_two_ticks_in_one_batch_open_one_order(cinema: Cinema) -> None:
    await due(cinema)
    opened = await cinema.rt.run_all(open_renewals, [OpenRenewals(), OpenRenewals()])
    assert sorted(len(one.payment_ids) for one in opened) == [0, 1]
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)


async def all_succeed(calls: Any) -> None:
    answers: list[httpx.Response] = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}


async def handed_to_customer(cinema: Cinema) -> str:
    """A renewal the bank wants confirmed. Returns the link the customer was mailed."""
    await due(cinema, "4000002500003155")
    await cinema.control("/control/webhooks", {"mode": None})
    await cinema.tick()
    await cinema.tick()
    sql = "SELECT checkout_url FROM payments WHERE flow = 'checkout' AND status = 'pending' AND attempt = 2"
    link: str = single(cinema, sql)
    return link


def retry_now(cinema: Cinema) -> None:
    """As a new card would: the next tick wants to charge."""
    with cinema.db() as db:
        db.execute(
            "UPDATE subscriptions SET next_retry_at = boxoffice_now(), next_action_at = boxoffice_now()"
        )


async def test_w15_while_the_customer_has_a_link_the_renewal_does_not_charge(cinema: Cinema) -> None:
    link = await handed_to_customer(cinema)
    retry_now(cinema)
    await cinema.tick()
    assert sorted(cinema.rows(CYCLE_PAYMENTS)) == [("declined",), ("pending",)]
    await cinema.pay(link)
    await cinema.until(f"/v1/orders/{single(cinema, CYCLE)}", status="paid")
    await come_to_rest(cinema)
    await assert_charged_once(cinema, single(cinema, CYCLE))


async def test_w15_paying_by_hand_and_ticks_at_the_same_moment_charge_once(cinema: Cinema) -> None:
    link = await handed_to_customer(cinema)
    retry_now(cinema)
    await asyncio.gather(cinema.pay(link), *(cinema.event(TICK) for _ in range(8)))
    await come_to_rest(cinema)
    await assert_charged_once(cinema, single(cinema, CYCLE))


async def hours_without_an_answer(cinema: Cinema, fault: str, hours: int) -> str:
    """The charge is sent, nobody answers, and then the provider is away. Returns the payment's id."""
    await due(cinema)
    await cinema.control("/control/faults", {"kind": fault, "operation": "charge.create"})
    assert (await cinema.event(TICK)).is_success
    await cinema.drain()
    await cinema.control("/control/down", {"down": True})
    for hour in range(1, hours + 1):
        await cinema.advance(timedelta(hours=1))
        await cinema.tick()
        assert cinema.rows(CYCLE_PAYMENTS) == [("unknown",)]  # no guess, no second attempt
        assert single(cinema, "SELECT status FROM subscriptions") == "active"
        if hour < 24:  # nobody's access blinks while we ask
            assert (await cinema.get("/v1/entitlements"))["items"]
    await cinema.control("/control/down", {"down": False})
    await cinema.advance(timedelta(hours=1))  # by now it is asked about hourly
    payment: str = single(
        cinema, "SELECT p.id FROM payments p JOIN orders o ON o.id = order_id WHERE period_n = 2"
    )
    return payment


@pytest.mark.parametrize(("fault", "hours"), [("drop_after", 6), ("drop_before", 6), ("drop_after", 30)])
async def test_w16_an_unknown_charge_stays_unknown_until_the_provider_tells(
    cinema: Cinema, fault: str, hours: int
) -> None:
    payment_id = await hours_without_an_answer(cinema, fault, hours)
    await come_to_rest(cinema)
    (theirs,) = await provider_payments(cinema, single(cinema, CYCLE))
    assert theirs["metadata"]["payment_id"] == payment_id
    await assert_renewed_once(cinema)


async def test_w16_past_the_lifetime_of_its_key_a_charge_is_only_asked_about_never_sent_again(
    cinema: Cinema,
) -> None:
    payment_id = await hours_without_an_answer(cinema, "drop_before", 24)
    calls: list[str] = []

    async def note(boundary: str) -> None:
        calls.append(boundary)

    watch(cinema.rt, note)
    assert (await cinema.event("billing.tick.reconcile")).is_success
    assert "find_payment:after" in calls
    assert "charge:before" not in calls
    assert single(cinema, "SELECT status FROM payments WHERE id = %s", payment_id) == "canceled"
    await come_to_rest(cinema)  # it surely never happened: a new attempt under a new key
    (theirs,) = await provider_payments(cinema, single(cinema, CYCLE))
    assert theirs["metadata"]["payment_id"] != payment_id
    await assert_renewed_once(cinema)


async def test_w16_the_lease_of_an_unknown_payment_ends_with_its_owner(cinema: Cinema) -> None:
    await hours_without_an_answer(cinema, "drop_after", 1)
    await leases_end(cinema)
    claimed = await cinema.rt.run(claim_payments, Claim())
    assert len(claimed) == 1
    assert await cinema.rt.run(claim_payments, Claim()) == []
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)
