"""What we know of a customer survives tokens that say less, and changes with tokens that say more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.cinema import RETURN_URL, Cinema

KNOWN = ("ann@home.example", "de", "Europe/Berlin")


async def order(cinema: Cinema, price_id: str, **claims: Any) -> dict[str, Any]:
    token = cinema.token("ann", email=claims.pop("email", None), more=claims)
    answer = await cinema.call(
        "POST", "/v1/orders", {"price_id": price_id, "return_url": RETURN_URL},
        customer=None, headers={"authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.status_code in (201, 202), answer.text
    body: dict[str, Any] = answer.json()
    return body


def kept(cinema: Cinema) -> tuple[Any, ...]:
    found: tuple[Any, ...] = cinema.rows("SELECT email, locale, time_zone FROM customers WHERE id = 'ann'")[0]
    return found


async def first(cinema: Cinema) -> None:
    await order(
        cinema, "prc_metropolis_buy", email=KNOWN[0], email_verified=True, locale=KNOWN[1], zoneinfo=KNOWN[2]
    )
    assert kept(cinema) == KNOWN


@pytest.mark.parametrize(
    ("claims", "then"),
    [
        ({}, KNOWN),
        ({"email": "", "locale": "", "zoneinfo": ""}, KNOWN),
        ({"email": "new@evil.example", "email_verified": False}, KNOWN),
        ({"email": "a\nb@evil.example"}, KNOWN),
        ({"zoneinfo": "Mars/Olympus", "locale": 7}, KNOWN),
        ({"email": "new@home.example"}, ("new@home.example", *KNOWN[1:])),
        ({"locale": "fr"}, (KNOWN[0], "fr", KNOWN[2])),
        ({"zoneinfo": "Asia/Tokyo"}, (*KNOWN[:2], "Asia/Tokyo")),
    ],
)
async def test_unknown_keeps_what_is_known(
    cinema: Cinema, claims: dict[str, Any], then: tuple[str, ...]
) -> None:
    await first(cinema)
    await order(cinema, "prc_stalker_buy", **claims)
    assert kept(cinema) == then


async def test_a_new_customer_who_says_nothing_is_kept_without_an_address(cinema: Cinema) -> None:
    await order(cinema, "prc_metropolis_buy")
    assert kept(cinema) == (None, "en", "UTC")
    await order(cinema, "prc_stalker_buy", email=KNOWN[0], locale=KNOWN[1], zoneinfo=KNOWN[2])
    assert kept(cinema) == KNOWN


async def test_a_subscription_begins_in_the_known_zone_and_stays_there(cinema: Cinema) -> None:
    await first(cinema)
    await order(cinema, "prc_basic_month")
    zone = "SELECT time_zone FROM subscriptions WHERE customer_id = 'ann'"
    assert cinema.value(zone) == KNOWN[2]
    await order(cinema, "prc_stalker_buy", zoneinfo="Asia/Tokyo")
    assert (cinema.value(zone), kept(cinema)[2]) == (KNOWN[2], "Asia/Tokyo")
