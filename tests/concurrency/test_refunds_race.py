"""W11 at size: a hundred refunds of one order at once never give back more than was taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx

from tests.kit.cinema import Cinema
from tests.kit.instance import second_instance
from tests.kit.recovery import assert_charged_once, come_to_rest

RACERS = 100
OPERATOR = ("billing:operator",)


async def give_back(cinema: Cinema, order_id: str, key: str, **more: Any) -> httpx.Response:
    body = {"order_id": order_id, "reason": "the sound was out of step", "access": "keep", **more}
    return await cinema.call("POST", "/v1/refunds", body, customer="olga", scopes=OPERATOR, key=key)


async def test_a_hundred_refunds_in_two_processes_never_exceed_what_was_taken(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    async with second_instance(cinema) as other:
        answers = await asyncio.gather(
            *(
                give_back((cinema, other.cinema)[n % 2], order["id"], f"refund-{n}", amount_minor=100)
                for n in range(RACERS)
            )
        )
    assert Counter(answer.status_code for answer in answers) == {201: 12, 409: 88}
    await come_to_rest(cinema)
    reserved = "SELECT refund_reserved_minor, refunded_minor, captured_minor FROM payments"
    assert cinema.rows(reserved) == [(1200, 1200, 1299)]
    theirs = (await cinema.books())["orders"][order["id"]]
    assert theirs["refunded_minor"] == 1200
    await cinema.assert_balanced()


async def test_a_hundred_full_refunds_with_one_key_return_it_once(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    answers = await asyncio.gather(*(give_back(cinema, order["id"], "one") for _ in range(RACERS)))
    assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    await come_to_rest(cinema)
    assert cinema.value("SELECT count(*) FROM refunds") == 1
    await assert_charged_once(cinema, order["id"], refunded_minor=1299)
