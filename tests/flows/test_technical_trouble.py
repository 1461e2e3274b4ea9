"""Providers that are down, slow or silent: never the customer's dunning day, and never a second charge."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared_lib.providers.base import InvalidRequest
from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_SOFT,
    bearer,
    order_as,
    order_status,
    payments,
    provider_down,
    renewed,
    subscription,
    to_period_end,
    trouble,
    watchable,
)
from tests.kit.waiting import PATIENCE_S


async def minutes(cinema: Cinema, count: int, each: int = 1) -> None:
    for _ in range(count):
        await cinema.advance(timedelta(minutes=each))
        await cinema.tick()


@pytest.mark.parametrize("how", ["drop", "503"])
async def test_a_provider_that_is_down_for_ten_minutes_is_no_decline(cinema: Cinema, how: str) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await provider_down(cinema, how=how)
    await cinema.tick()
    await minutes(cinema, 10)
    found = await subscription(cinema)
    assert (found["status"], found["past_due_since"]) == ("active", None)
    assert await watchable(cinema) == ["prd_basic"]

    await provider_down(cinema, down=False)
    await minutes(cinema, 4, each=10)
    assert (await subscription(cinema))["period"]["n"] == 2
    assert payments(cinema, "status, attempt") == [("succeeded", 1), ("succeeded", 1)]
    assert (await cinema.books())["currencies"]["EUR"]["captured_minor"] == 2 * 799


async def test_a_provider_that_is_down_during_dunning_does_not_end_the_retries(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    await cinema.advance(timedelta(days=1))
    await provider_down(cinema, how="503")
    await cinema.tick()
    await minutes(cinema, 3)
    await provider_down(cinema, down=False)
    await minutes(cinema, 3, each=20)
    assert payments(cinema) == ["succeeded", "declined", "declined"]
    for _ in range(4):
        await cinema.advance(timedelta(hours=12))
        await cinema.tick()
    assert payments(cinema) == ["succeeded", "declined", "declined", "declined"]


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "garbled"])
async def test_a_charge_that_was_executed_without_an_answer_is_found_not_repeated(
    cinema: Cinema, kind: str
) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await trouble(cinema, kind, "charge.create")
    await cinema.event("billing.tick.renewal")
    await cinema.drain()
    assert payments(cinema)[-1] == "unknown"
    await minutes(cinema, 2)
    assert (await subscription(cinema))["period"]["n"] == 2
    assert payments(cinema, "status, attempt") == [("succeeded", 1), ("succeeded", 1)]
    assert (await cinema.books())["currencies"]["EUR"]["captured_minor"] == 2 * 799


async def test_a_charge_nobody_answers_for_longer_than_the_providers_key_lives_is_tried_anew(
    cinema: Cinema,
) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await provider_down(cinema)
    await cinema.tick()
    for _ in range(25):
        await cinema.advance(timedelta(hours=1))
        await cinema.tick()
    assert payments(cinema) == ["succeeded", "unknown"]
    await provider_down(cinema, down=False)
    await minutes(cinema, 4, each=61)
    assert payments(cinema) == ["succeeded", "canceled", "succeeded"]
    assert (await subscription(cinema))["period"]["n"] == 2


async def test_a_charge_that_is_refused_in_past_due_is_tried_again_too(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    provider: Any = cinema.rt.providers["sandbox"]

    async def refuse(_: object) -> None:
        raise InvalidRequest("sandbox", "parameter_invalid", "whatever it is")

    provider.charge = refuse
    await cinema.advance(timedelta(days=1))
    await cinema.tick()
    assert payments(cinema)[1:] == ["declined", "canceled"]
    del provider.charge
    await minutes(cinema, 3, each=20)
    assert payments(cinema)[1:] == ["declined", "canceled", "declined"]


async def test_a_provider_slower_than_a_customer_waits_answers_202_and_is_completed(cinema: Cinema) -> None:
    await trouble(cinema, "slow", "checkout.create", ms=3600)
    answer = await order_as(cinema, FILM)
    assert answer.status_code == 202
    location = answer.headers["location"]
    assert location == f"/v1/orders/{answer.json()['id']}"
    order = await cinema.get(location)
    async with asyncio.timeout(PATIENCE_S):
        while (
            order["checkout_url"] is None
        ):  # the provider takes as long as it takes, whatever our clock says
            await asyncio.sleep(0.2)
            await cinema.advance(timedelta(seconds=30))
            await cinema.tick()
            order = await cinema.get(location)
    assert order["checkout_url"].startswith(cinema.sandbox.url)
    await cinema.pay(order["checkout_url"])
    await cinema.until(location, status="paid")


@pytest.mark.parametrize("how", ["drop", "503"])
async def test_an_order_while_the_provider_is_down_is_completed_when_it_is_back(
    cinema: Cinema, how: str
) -> None:
    await provider_down(cinema, how=how)
    answer = await order_as(cinema, FILM)
    assert answer.status_code == 202
    await cinema.drain()
    await provider_down(cinema, down=False)
    await minutes(cinema, 3)
    order = await cinema.get(answer.headers["location"])
    assert order["checkout_url"]
    assert payments(cinema) == ["pending"]


async def test_respond_async_answers_at_once_and_the_job_brings_the_link(cinema: Cinema) -> None:
    answer = await order_as(cinema, FILM, {**bearer(cinema), "prefer": "respond-async"})
    assert (answer.status_code, answer.json()["checkout_url"]) == (202, None)
    assert payments(cinema) == ["created"]
    await cinema.drain()
    order = await cinema.get(answer.headers["location"])
    assert order["checkout_url"]
    await cinema.event("billing.job.start_payment", {"payment_id": order["payment"]["id"]})
    await cinema.pay(order["checkout_url"])
    await cinema.until(answer.headers["location"], status="paid")


async def test_an_order_nobody_could_send_for_a_day_expires_unsent(cinema: Cinema) -> None:
    await provider_down(cinema, how="503")
    answer = await order_as(cinema, FILM)
    assert answer.status_code == 202
    await cinema.advance(timedelta(hours=24))
    await cinema.tick()
    await minutes(cinema, 2, each=20)
    await provider_down(cinema, down=False)
    await minutes(cinema, 3, each=60)
    assert order_status(cinema, answer.json()["id"]) == "expired"
    assert (await cinema.books())["currencies"].get("EUR", {"captured_minor": 0})["captured_minor"] == 0
