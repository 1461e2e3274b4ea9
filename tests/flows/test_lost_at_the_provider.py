"""A provider that does not know its own payment or refund any more: asked about ever less often, and with an end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared_lib.providers.base import NotFound, PaymentRef, PaymentSnapshot
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, order_status, payments, subscription, to_period_end, trouble


@pytest.fixture(autouse=True)
async def _nothing_tells(cinema: Cinema) -> None:
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})


def lose(cinema: Cinema) -> list[str]:
    """The provider answers 404 about every payment and refund, and finds none. Returns what it is asked."""
    provider: Any = cinema.rt.providers["sandbox"]
    asked: list[str] = []

    async def gone(ref: Any, *_: object) -> Any:
        asked.append(ref.provider_payment_id if isinstance(ref, PaymentRef) else str(ref))
        raise NotFound("sandbox", "resource_missing", "no such object")

    async def none(*_: object) -> None:
        return None

    provider.fetch_payment = provider.fetch_refund = gone
    provider.find_payment = provider.find_refund = none
    return asked


def find_again(cinema: Cinema) -> None:
    provider: Any = cinema.rt.providers["sandbox"]
    for verb in ("fetch_payment", "fetch_refund", "find_payment", "find_refund"):
        delattr(provider, verb)


async def for_minutes(cinema: Cinema, count: int) -> None:
    for _ in range(count):
        await cinema.advance(timedelta(minutes=1))
        await cinema.tick()


async def test_a_lost_payment_past_its_time_is_asked_about_ever_less_and_then_closed(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.advance(timedelta(hours=24))
    asked = lose(cinema)
    await for_minutes(cinema, 40)
    assert 3 <= len(asked) <= 8
    assert payments(cinema) == ["pending"]
    with capture_logs() as lines:
        await for_minutes(cinema, 70)
    assert len(asked) <= 10
    assert [one["closed"] for one in lines if one["event"] == "payment_lost"][-1] is True
    assert payments(cinema) == ["canceled"]
    assert order_status(cinema, order["id"]) == "expired"
    so_far = len(asked)
    await for_minutes(cinema, 3)
    assert len(asked) == so_far


async def test_a_provider_that_is_only_silent_past_the_end_is_asked_ever_less(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.advance(timedelta(hours=24))
    await cinema.control("/control/down", {"down": True, "how": "503"})
    asked = "SELECT checks FROM payments"
    before = cinema.value(asked)
    await for_minutes(cinema, 60)
    assert cinema.value(asked) - before <= 8
    await cinema.control("/control/down", {"down": False})
    await for_minutes(cinema, 66)
    assert order_status(cinema, order["id"]) == "expired"


async def test_late_money_of_a_payment_that_was_closed_as_lost_is_still_taken(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    lose(cinema)
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    find_again(cinema)
    await cinema.control("/control/webhooks", {"mode": None})
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")


@pytest.mark.parametrize("hours", [0, 12, 25])
async def test_an_order_whose_payment_is_lost_can_be_canceled(cinema: Cinema, hours: int) -> None:
    order = await cinema.order(FILM)
    lose(cinema)
    await cinema.advance(timedelta(hours=hours))
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] in ("canceled", "expired")
    assert payments(cinema) == ["canceled"]


async def test_an_order_whose_payment_is_unknown_is_canceled_by_asking(cinema: Cinema) -> None:
    await trouble(cinema, "drop_after", "checkout.create")
    order = await cinema.order(FILM)
    assert payments(cinema) == ["unknown"]
    answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")


async def test_a_charge_that_is_lost_blocks_its_renewal_for_a_day_and_is_then_tried_again(
    cinema: Cinema,
) -> None:
    await _subscribe(cinema)
    await to_period_end(cinema)
    provider: Any = cinema.rt.providers["sandbox"]

    async def pending(request: Any) -> PaymentSnapshot:
        """Accepted, and never heard of again."""
        made: PaymentSnapshot = await type(provider).create_checkout(provider, _checkout_of(request))
        return made

    provider.charge = pending
    await cinema.event("billing.tick.renewal")
    await cinema.drain()
    asked = lose(cinema)
    del provider.charge
    for _ in range(22):
        await cinema.advance(timedelta(hours=1))
        await cinema.tick()
    assert payments(cinema)[1:] == ["pending"]  # no guess, no second attempt
    assert len(asked) <= 12
    for _ in range(8):
        await cinema.advance(timedelta(hours=1))
        await cinema.tick()
    assert payments(cinema)[1] == "canceled"
    assert (await subscription(cinema))["status"] in ("active", "past_due")
    find_again(cinema)


async def _subscribe(cinema: Cinema) -> None:
    order = await cinema.order(BASIC)
    await cinema.pay(order["checkout_url"])
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    assert order_status(cinema, order["id"]) == "paid"


def _checkout_of(request: Any) -> Any:
    from shared_lib.providers.base import CheckoutRequest  # noqa: PLC0415

    return CheckoutRequest(
        payment_id=request.payment_id,
        order_id=request.order_id,
        amount=request.amount,
        description=request.description,
        return_url="http://cinema.test/x",
        cancel_url="http://cinema.test/x",
        idempotency_key=request.idempotency_key,
    )


async def test_a_refund_that_is_lost_ends_as_failed_with_an_alarm(cinema: Cinema) -> None:
    order = await cinema.order(FILM)
    await cinema.pay(order["checkout_url"], "4000000000007726")  # its refunds pend
    await cinema.advance(timedelta(minutes=11))
    await cinema.tick()
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "no"})
    assert answer.json()["status"] == "pending", answer.text
    asked = lose(cinema)
    with capture_logs() as lines:
        for _ in range(30):
            await cinema.advance(timedelta(hours=1))
            await cinema.tick()
    assert cinema.rows("SELECT status FROM refunds") == [("failed",)]
    assert {line["log_level"] for line in lines if line["event"] == "refund_lost"} == {"error"}
    assert len(asked) <= 10
    find_again(cinema)
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    (theirs,) = (await cinema.http.get(f"{cinema.sandbox.url}/v1/refunds", headers=headers)).json()["data"]
    assert (await cinema.control(f"/control/refunds/{theirs['id']}/fail", {"reason": "lost"})).is_success
