"""A cinema whose customers pay through Stripe: it sells, renews, gives back, and hears of it by signed webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from infra.sandbox.faces.stripe.ids import FACE
from infra.sandbox.launch import SandboxHandle, new_webhook_secret
from tests.kit.answers import assert_problem
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

PATH = "/v1/webhooks/stripe"


@pytest.fixture
async def cinema(open_cinema: OpenCinema, sandbox: SandboxHandle, gateway_port: int) -> AsyncIterator[Cinema]:
    secret = new_webhook_secret()
    settings: dict[str, Any] = {
        "providers": ("sandbox", "stripe"),
        "default_provider": "stripe",
        "stripe_secret_key": sandbox.api_key,
        "stripe_webhook_secrets": secret,
        "stripe_url": sandbox.url + "/stripe",
    }
    async with open_cinema(**settings) as opened:
        address = f"http://127.0.0.1:{gateway_port}{PATH}"
        await opened.control("/control/endpoints", {"url": address, "secret": secret, "face": FACE})
        yield opened


async def test_a_film_is_sold_and_given_back(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    assert await watchable(cinema) == ["prd_metropolis"]
    assert payments(cinema, "provider, status") == [("stripe", "succeeded")]

    answer = await give_back(cinema, order)
    assert answer.status_code == 201, answer.text
    assert cinema.value("SELECT status FROM refunds") == "succeeded"
    await cinema.assert_balanced()


async def test_a_subscription_saves_its_card_and_is_renewed_without_the_customer(cinema: Cinema) -> None:
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


async def test_an_unpaid_link_ends_with_its_day(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.advance(timedelta(hours=25))
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


async def test_a_refund_made_in_the_dashboard_is_adopted(cinema: Cinema) -> None:
    await cinema.bought(FILM)
    session = str(cinema.value("SELECT provider_ref FROM payments"))
    theirs = session.replace("cs_test_", "sp_")
    await cinema.control("/control/refunds", {"payment": theirs, "amount_minor": 100})

    async def adopted() -> bool:
        await cinema.tick()
        back = cinema.value("SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE status = 'succeeded'")
        return bool(back == 100)

    await until(adopted)
    await cinema.assert_balanced()


async def test_an_answer_that_is_lost_charges_once(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.control("/control/faults", {"kind": "drop_after", "operation": "charge.create"})
    await renewed(cinema)
    assert payments(cinema, "flow, status") == [("checkout", "succeeded"), ("charge", "succeeded")]
    await cinema.assert_balanced()


async def test_a_forged_webhook_is_refused(cinema: Cinema) -> None:
    answer = await cinema.http.post(
        cinema.url + PATH, content=b'{"id":"evt_1"}', headers={"stripe-signature": "t=1,v1=00"}
    )
    assert_problem(answer, "signature_invalid")
