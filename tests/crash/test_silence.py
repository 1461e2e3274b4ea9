"""W15 and W16: a renewal its customer pays by hand, and one the provider says nothing about."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared_lib.billing.leasing import LeaseRequest
from shared_lib.phases.leases import lease_payments
from shared_lib.queries.due import due_payments
from tests.crash.renewing import CYCLE, CYCLE_PAYMENTS, TICK, assert_renewed_once, due
from tests.kit.cinema import Cinema
from tests.kit.crash_points import watch
from tests.kit.recovery import assert_charged_once, come_to_rest, leases_end, provider_payments, single


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
    assert cinema.rows("SELECT id FROM set_aside") == []  # decided, not refused by the database
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
    """The charge is sent, no answer comes, and then the provider is away. Returns the payment's id."""
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
        if hour < 24:  # no customer's access is interrupted while we ask
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
    (due,) = await cinema.rt.read(due_payments, 10)
    assert await cinema.rt.run(lease_payments, LeaseRequest(id=due.id))
    assert await cinema.rt.run(lease_payments, LeaseRequest(id=due.id)) is None
    assert await cinema.rt.read(due_payments, 10) == []
    await come_to_rest(cinema)
    await assert_renewed_once(cinema)
