"""A provider that takes no new orders goes on being asked; one that is gone holds up its own rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import cast

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from shared_lib.providers.base import PaymentProvider
from shared_lib.settings import Settings
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.steps import BASIC, FILM, order_as, order_status, renewed, subscription

OTHER_FILM = "prc_stalker_buy"


class Second:
    """Another provider with the sandbox's abilities; no test lets it be asked."""

    name = "second"

    def __init__(self, real: PaymentProvider) -> None:
        self.capabilities = real.capabilities

    async def aclose(self) -> None:
        pass


def configure(cinema: Cinema, *names: str, closed: tuple[str, ...] = ()) -> None:
    """Restart the doors with these providers."""
    rt = cinema.rt
    known = rt.keep("all providers", lambda: dict(rt.providers))
    known["second"] = cast("PaymentProvider", Second(known["sandbox"]))
    default = next(name for name in names if name not in closed)
    changed = {"providers": names, "providers_closed": closed, "default_provider": default}
    rt.settings = rt.settings.model_copy(update=changed)
    rt.providers = {name: known[name] for name in names}
    kept = known
    rt._kept.clear()
    rt.keep("all providers", lambda: kept)


@pytest.fixture(autouse=True)
def _put_back(cinema: Cinema) -> Iterator[None]:
    """The sandbox's connections are closed with the cinema."""
    real = dict(cinema.rt.providers)
    yield
    cinema.rt.providers = real


# ---- closed for new orders ---------------------------------------------------------------------------------


async def test_a_closed_provider_takes_no_new_order(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    configure(cinema, "sandbox", "second", closed=("sandbox",))
    named = await order_as(cinema, FILM, provider="sandbox", headers=None)
    assert (named.status_code, named.json()["code"]) == (409, "provider_closed")
    saved = await order_as(cinema, FILM, payment_method_id=method["id"])
    assert (saved.status_code, saved.json()["code"]) == (409, "provider_closed")
    assert [terms.name for terms in cinema.rt.terms()] == ["second"]
    assert cinema.value("SELECT count(*) FROM orders") == 1


async def test_a_closed_provider_is_still_asked_charged_refunded_and_listened_to(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    film = await cinema.bought(FILM)
    open_order = await cinema.order(OTHER_FILM)
    configure(cinema, "sandbox", "second", closed=("sandbox",))
    await cinema.pay(open_order["checkout_url"])
    await cinema.until(f"/v1/orders/{open_order['id']}", status="paid")  # its webhook was taken
    refund = await cinema.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "no"})
    assert refund.status_code == 201, refund.text
    assert (await renewed(cinema))["period"]["n"] == 2
    assert cinema.rows("SELECT id FROM set_aside") == []


def test_what_cannot_be_meant_is_refused_at_the_start(cinema: Cinema) -> None:
    own = cinema.rt.settings.model_dump()
    for wrong in ({"providers_closed": ("sandbox",)}, {"providers_closed": ("nowhere",)}):
        with pytest.raises(ValidationError, match=r"takes no new orders|not among providers"):
            Settings(**(own | wrong))


# ---- gone --------------------------------------------------------------------------------------------------


async def test_rows_of_a_provider_that_is_gone_wait_for_it_and_nothing_else_does(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    film = await cinema.bought(FILM)
    open_order = await cinema.order(OTHER_FILM)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    await cinema.pay(open_order["checkout_url"])
    configure(cinema, "second")

    refused = await cinema.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "no"}, key="back")
    assert (refused.status_code, refused.json()["code"]) == (409, "provider_closed")
    assert cinema.value("SELECT count(*) FROM refunds") == 0
    canceled = await cinema.call("POST", f"/v1/orders/{open_order['id']}/cancel")
    assert (canceled.status_code, canceled.json()["code"]) == (409, "payment_unresolved")
    assert (await cinema.call("POST", "/v1/webhooks/sandbox", {}, customer=None)).status_code == 404

    await cinema.advance(timedelta(days=32))
    with capture_logs() as lines:
        await cinema.tick()
    alarms = [line for line in lines if line["event"] == "set_aside"]
    assert sorted(line["kind"] for line in alarms) == ["payment", "subscription"]
    assert {line["reason"] for line in alarms} == {"the provider sandbox is not configured"}
    assert (await subscription(cinema))["status"] == "active"
    assert order_status(cinema, open_order["id"]) == "pending"

    configure(cinema, "sandbox")
    await cinema.advance(timedelta(minutes=1))
    await cinema.tick()
    assert (await subscription(cinema))["period"]["n"] == 2
    assert order_status(cinema, open_order["id"]) == "paid"
    again = await cinema.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "no"}, key="back")
    assert (again.status_code, again.json()["code"]) == (409, "refund_window_over")  # a month has passed
    assert cinema.rows("SELECT id FROM set_aside") == []


async def test_a_refund_on_its_way_waits_for_its_provider_and_the_next_one_does_not(cinema: Cinema) -> None:
    film = await cinema.bought(FILM)
    await cinema.control("/control/down", {"down": True, "how": "503"})
    body = {"order_id": film["id"], "reason": "no"}
    assert (await cinema.call("POST", "/v1/refunds", body)).status_code == 202
    await cinema.control("/control/down", {"down": False})
    configure(cinema, "second")
    await cinema.advance(timedelta(minutes=5))
    await cinema.tick()
    assert cinema.rows("SELECT kind FROM set_aside") == [("refund",)]
    configure(cinema, "sandbox")
    await cinema.advance(timedelta(minutes=1))
    await cinema.tick()
    assert cinema.rows("SELECT status FROM refunds") == [("succeeded",)]


async def test_a_method_of_a_provider_that_is_gone_can_be_forgotten(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    configure(cinema, "second")
    order = {"price_id": FILM, "return_url": RETURN_URL, "payment_method_id": method["id"]}
    answer = await cinema.call("POST", "/v1/orders", order)
    assert (answer.status_code, answer.json()["code"]) == (409, "provider_closed")
    assert (
        await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}?confirm=true")
    ).status_code == 204
    assert (await cinema.get("/v1/payment-methods"))["items"] == []


# ---- prices that could never be charged --------------------------------------------------------------------


async def test_a_plan_whose_later_price_no_provider_takes_is_refused_before_its_trial(cinema: Cinema) -> None:
    with cinema.db() as db:
        db.execute(
            """
            INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count, trial_days,
                                sellable_from)
            VALUES ('prc_tiny', 'prd_basic', 'subscription', 49, 'EUR', 'month', 1, 14, '2020-01-01Z')
            """
        )
    answer = await order_as(cinema, "prc_tiny")
    assert (answer.status_code, answer.json()["code"]) == (422, "amount_too_small")
    assert cinema.value("SELECT count(*) FROM subscriptions") == 0
