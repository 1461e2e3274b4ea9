"""cinema.playback.started: devices lie about time, and an event is never consumed without its effect."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, LATER_SOFT, RENTAL, renewed, to
from tests.kit.waiting import until

METROPOLIS = "prd_metropolis"


async def play(
    cinema: Cinema,
    started_at: object,
    *,
    customer: str = "ann",
    product: str = METROPOLIS,
    event_id: str | None = None,
) -> None:
    """A play is taken whatever its device says."""
    data = {"customer_id": customer, "product_id": product, "started_at": started_at}
    answer = await cinema.event("cinema.playback.started", data, event_id=event_id)
    assert answer.status_code == 200, answer.text


def started(cinema: Cinema) -> list[tuple[Any, ...]]:
    return cinema.rows(
        "SELECT kind, first_played_at, ends_at FROM entitlements WHERE first_played_at IS NOT NULL"
    )


async def returned(cinema: Cinema, order: dict[str, Any]) -> str:
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish"})
    return str(answer.json().get("code", answer.status_code))


@pytest.mark.parametrize("slow_by", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=400)])
async def test_a_slow_clock_starts_the_rental_all_the_same(cinema: Cinema, slow_by: timedelta) -> None:
    order = await cinema.bought(RENTAL)
    paid_at = cinema.value("SELECT paid_at FROM orders")
    await play(cinema, (paid_at - slow_by).isoformat())
    assert started(cinema) == [("rental", paid_at, paid_at + timedelta(hours=48))]
    assert await returned(cinema, order) == "refund_started"


ABSURD = (
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999+00:00", "2030-01-01T00:00:00+23:59", 0, -62135596800, 253402300799,
)  # fmt: skip


@pytest.mark.parametrize("claimed", ABSURD)
async def test_an_absurd_instant_starts_a_rental_that_lasts(cinema: Cinema, claimed: object) -> None:
    await cinema.bought(RENTAL)
    await cinema.advance(timedelta(days=20))
    await play(cinema, claimed)
    ((_, first_played_at, ends_at),) = started(cinema)
    assert cinema.now() - timedelta(hours=1, minutes=5) < first_played_at <= cinema.now()
    assert ends_at == first_played_at + timedelta(hours=48)


async def test_a_play_with_a_purchase_starts_no_rental(cinema: Cinema) -> None:
    await cinema.bought(RENTAL)
    await cinema.bought(FILM)
    await play(cinema, cinema.now().isoformat())
    await play(cinema, cinema.now().isoformat())
    assert [kind for kind, _, _ in started(cinema)] == ["purchase"]


async def test_after_a_rental_is_over_a_play_starts_the_next_one_only(cinema: Cinema) -> None:
    await cinema.bought(RENTAL)
    claimed = cinema.now()
    await cinema.advance(timedelta(days=31))
    await cinema.bought(RENTAL)
    await play(cinema, claimed.isoformat())  # the device's clock stands where the first rental was open
    ((_, first_played_at, _),) = started(cinema)
    assert first_played_at == cinema.value("SELECT max(starts_at) FROM entitlements")


async def test_a_play_that_is_reported_late_counts_for_the_rental_that_was_open(cinema: Cinema) -> None:
    await cinema.bought(RENTAL)
    await cinema.advance(timedelta(days=29, hours=23))
    claimed = cinema.now()
    await cinema.advance(timedelta(hours=10))
    await play(cinema, claimed.isoformat())
    assert started(cinema) == [("rental", claimed, claimed + timedelta(hours=48))]


async def test_a_play_of_the_last_second_is_on_time_and_one_of_the_second_after_is_not(
    cinema: Cinema,
) -> None:
    await cinema.bought(RENTAL)
    ends_at = cinema.value("SELECT ends_at FROM entitlements")
    second = timedelta(seconds=1)
    await to(cinema, ends_at + second)
    await play(cinema, (ends_at + second).isoformat())
    assert started(cinema) == []
    await play(cinema, (ends_at - second).isoformat())
    assert started(cinema) == [("rental", ends_at - second, ends_at - second + timedelta(hours=48))]


async def test_a_play_before_its_payment_is_known_waits_for_it(cinema: Cinema) -> None:
    order = await cinema.order(RENTAL)
    for _ in range(2):
        await play(cinema, cinema.now().isoformat(), event_id="evt_early")
    await cinema.tick()
    assert cinema.rows("SELECT status FROM inbox") == [("parked",)]
    assert started(cinema) == []
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await cinema.advance(timedelta(minutes=2))
    await cinema.tick()
    paid_at = cinema.value("SELECT paid_at FROM orders")
    assert started(cinema) == [("rental", paid_at, paid_at + timedelta(hours=48))]
    assert cinema.rows("SELECT DISTINCT status FROM inbox") == [("done",)]


async def test_a_play_long_before_the_payment_starts_nothing(cinema: Cinema) -> None:
    order = await cinema.order(RENTAL)
    await play(cinema, cinema.now().isoformat())
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    assert cinema.rows("SELECT status, payload FROM inbox WHERE source LIKE 'play:%%'") == [("done", None)]
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await cinema.tick()
    assert started(cinema) == []


async def test_a_play_and_its_payment_at_the_same_moment_lose_nothing(cinema: Cinema) -> None:
    orders = [await cinema.order(RENTAL, customer=f"ann{n}") for n in range(8)]

    async def pay_and_play(n: int) -> None:
        await asyncio.gather(
            cinema.pay(orders[n]["checkout_url"]),
            *(play(cinema, "1970-01-01T00:00:00Z", customer=f"ann{n}") for _ in range(3)),
        )

    await asyncio.gather(*(pay_and_play(n) for n in range(8)))
    await until(lambda: cinema.value("SELECT count(*) FROM orders WHERE status = 'paid'") == 8)
    await cinema.advance(timedelta(minutes=2))
    await cinema.tick()
    assert len(started(cinema)) == 8


async def test_a_play_of_another_customers_title_or_of_a_revoked_one_starts_nothing(cinema: Cinema) -> None:
    order = await cinema.bought(RENTAL)
    await play(cinema, cinema.now().isoformat(), customer="bob")
    await play(cinema, cinema.now().isoformat(), product="prd_stalker")
    assert await returned(cinema, order) == "201"
    await play(cinema, cinema.now().isoformat())
    assert started(cinema) == []
    assert cinema.rows("SELECT DISTINCT status FROM inbox WHERE source LIKE 'play:%%'") == [("done",)]


async def test_a_plan_in_its_grace_is_played_and_no_rental_is_started(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    assert cinema.value("SELECT status FROM subscriptions") == "past_due"
    await cinema.advance(timedelta(days=1))
    with cinema.db() as db:  # a rental of what the plan gives as well
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, trial_days, sellable_from)"
            " VALUES ('prc_rent_basic', 'prd_basic', 'rental', 399, 'EUR', 0, '2020-01-01Z')"
        )
    await cinema.bought("prc_rent_basic")
    await play(cinema, cinema.now().isoformat(), product="prd_basic")
    assert [kind for kind, _, _ in started(cinema)] == ["subscription"]


async def test_a_sender_of_plays_uses_no_webhooks_id_up(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await play(cinema, cinema.now().isoformat(), event_id="evt_1")
    assert cinema.rows("SELECT source FROM inbox") == [("play:/boxoffice",)]
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")


@pytest.mark.parametrize(
    "claimed", ["2030-01-01T00:00:00", "yesterday", None, {}, 1e400, "2030-02-30T00:00:00Z"]
)
async def test_what_is_no_instant_is_refused_for_good(cinema: Cinema, claimed: object) -> None:
    data = {"customer_id": "ann", "product_id": METROPOLIS, "started_at": claimed}
    assert (await cinema.event("cinema.playback.started", data)).status_code == 422
