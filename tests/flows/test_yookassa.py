"""A cinema whose customers pay through YooKassa: it sells, renews, gives back, and hears of it by hints from its addresses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from infra.sandbox.faces.yookassa.ids import FACE, SECRET_KEY_PREFIX, SHOP_ID, engine_id, shown
from infra.sandbox.launch import SandboxHandle
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.steps import (
    BASIC,
    FILM,
    PLUS,
    give_back,
    order_status,
    payments,
    period_end,
    renewed,
    watchable,
)
from tests.kit.waiting import until

PATH = "/v1/webhooks/yookassa"
STRANGER, THEIRS = "203.0.113.9", "185.71.76.5"


@pytest.fixture
async def cinema(open_cinema: OpenCinema, sandbox: SandboxHandle, gateway_port: int) -> AsyncIterator[Cinema]:
    """Its receipts go with each payment; hints come from loopback, where the sandbox is, and from YooKassa's own network."""
    settings: dict[str, Any] = {
        "providers": ("sandbox", "yookassa"),
        "default_provider": "yookassa",
        "yookassa_shop_id": SHOP_ID,
        "yookassa_secret_key": SECRET_KEY_PREFIX + sandbox.api_key,
        "yookassa_currency": "EUR",
        "yookassa_url": sandbox.url + "/v3",
        "yookassa_webhook_networks": "127.0.0.0/8,185.71.76.0/27",
        "yookassa_vat_code": 4,
        "yookassa_receipt_email": "receipts@cinema.example",
    }
    async with open_cinema(**settings) as opened:
        address = f"http://127.0.0.1:{gateway_port}{PATH}"
        await opened.control("/control/endpoints", {"url": address, "face": FACE})
        yield opened


def notification(object_id: str, event: str = "payment.succeeded", **about: Any) -> bytes:
    told = {"type": "notification", "event": event, "object": {"id": object_id, **about}}
    return json.dumps(told).encode()


async def hint(cinema: Cinema, body: bytes, *forwarded: str) -> httpx.Response:
    headers = [("x-forwarded-for", address) for address in forwarded]
    return await cinema.http.post(cinema.url + PATH, content=body, headers=headers)


async def receipt(cinema: Cinema, prefix: str, table: str) -> dict[str, Any]:
    """What the bank got for the receipt of the only row; its API does not show the customer."""
    id_ = engine_id(prefix, cinema.value(f"SELECT provider_ref FROM {table}"))
    answer = await cinema.http.get(f"{cinema.sandbox.url}/control/kept/{id_}")
    found: dict[str, Any] = answer.json()["receipt"]
    return found


async def test_a_film_is_sold_and_given_back(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    assert await watchable(cinema) == ["prd_metropolis"]
    assert payments(cinema, "provider, status") == [("yookassa", "succeeded")]

    answer = await give_back(cinema, order)
    assert answer.status_code == 201, answer.text
    assert cinema.value("SELECT status FROM refunds") == "succeeded"
    for prefix, table in (("sp", "payments"), ("sr", "refunds")):
        sent = await receipt(cinema, prefix, table)
        assert sent["customer"] == {"email": "ann@example.com"}
        [item] = sent["items"]
        assert item["description"] == cinema.value("SELECT product_title FROM orders")
    await cinema.assert_balanced()


async def test_a_subscription_is_saved_renewed_and_declined_without_the_customer(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    [method] = (await cinema.get("/v1/payment-methods"))["items"]
    assert (method["brand"], method["last4"]) == ("visa", "4242")
    first = await period_end(cinema)
    await renewed(cinema)
    assert await period_end(cinema) > first
    assert payments(cinema, "flow, status") == [("checkout", "succeeded"), ("charge", "succeeded")]
    await cinema.assert_balanced()


async def test_a_trial_saves_a_card_without_a_payment_and_is_paid_at_its_end(cinema: Cinema) -> None:
    order = await cinema.order(PLUS)
    assert cinema.value("SELECT amount_minor FROM payments") == 0
    await cinema.pay(order["checkout_url"])
    await until(lambda: order_status(cinema, order["id"]) == "paid")
    await renewed(cinema)
    assert payments(cinema, "flow, status, amount_minor > 0") == [
        ("checkout", "succeeded", False),
        ("charge", "succeeded", True),
    ]
    await cinema.assert_balanced()


async def test_a_link_that_is_not_paid_ends_with_its_hour(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.advance(timedelta(minutes=61))
    await until(lambda: payments(cinema) == ["expired"])
    assert order_status(cinema, order["id"]) != "paid"


async def test_a_lost_webhook_is_made_up_for_by_asking(cinema: Cinema) -> None:
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    order = await cinema.order(FILM)
    await cinema.pay(order["checkout_url"])
    await cinema.advance(timedelta(hours=2))
    await cinema.tick()
    assert order_status(cinema, order["id"]) == "paid"
    await cinema.control("/control/webhooks", {"mode": None})


# ---- hints -------------------------------------------------------------------------------------------------


async def test_a_forged_success_settles_what_is_true(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    ref = cinema.value("SELECT provider_ref FROM payments")
    body = notification(ref, status="succeeded", paid=True, amount={"value": "12.99", "currency": "EUR"})
    assert (await hint(cinema, body)).status_code == 200
    assert order_status(cinema, order["id"]) == "pending"
    assert await watchable(cinema) == []

    await cinema.pay(order["checkout_url"])
    await until(lambda: order_status(cinema, order["id"]) == "paid")


async def test_a_hint_is_taken_from_addresses_of_yookassa_alone(cinema: Cinema) -> None:
    """The test's own address, loopback, is a proxy: what it says at the end of the header is from where the call came."""
    await cinema.order(FILM)
    body = notification(cinema.value("SELECT provider_ref FROM payments"))
    with nothing_changes(cinema):
        for forged in ((STRANGER,), (f"{THEIRS}, {STRANGER}",), (THEIRS, STRANGER), ("unknown",)):
            answer = await hint(cinema, body, *forged)
            assert answer.status_code == 400, forged
            assert_problem(answer, "signature_invalid")
    for honest in ((THEIRS,), (f"{STRANGER}, {THEIRS}",)):
        assert (await hint(cinema, body, *honest)).status_code == 200, honest


async def test_a_hint_about_nothing_is_acknowledged_so_that_it_is_not_repeated(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for event, about in (
            ("payment.succeeded", {}),
            ("refund.succeeded", {"payment_id": shown("sp_" + "0" * 24)}),
            ("payment_method.active", {}),
        ):
            answer = await hint(cinema, notification(shown("sp_" + "0" * 24), event, **about))
            assert answer.status_code == 200, event
    answer = await hint(cinema, notification("po-1", "payout.succeeded"))
    assert answer.status_code == 200
    assert cinema.rows("SELECT source, status FROM inbox") == [("yookassa", "done")]


async def test_a_hint_that_cannot_be_checked_now_is_asked_for_again(cinema: Cinema) -> None:
    await cinema.order(FILM)
    body = notification(cinema.value("SELECT provider_ref FROM payments"))
    await cinema.control("/control/down", {"down": True, "how": "503"})
    assert (await hint(cinema, body)).status_code == 503
    await cinema.control("/control/down", {"down": False})
    assert (await hint(cinema, body)).status_code == 200


async def test_a_refund_made_at_yookassa_is_taken_up(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    ref = engine_id("sp", cinema.value("SELECT provider_ref FROM payments"))
    await cinema.control("/control/refunds", {"payment": ref})
    await until(lambda: cinema.value("SELECT count(*) FROM refunds WHERE status = 'succeeded'") == 1)
    assert order_status(cinema, order["id"]) == "refunded"
