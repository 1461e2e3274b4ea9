"""A renewal that cannot be charged: its customer has a link that works as long as dunning lasts, and then keeps the card."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.servers.moto import EmbeddedMoto
from shared_lib.contract.routes import AFTER_PAYMENT
from shared_lib.providers.base import ChargeRequest, InvalidRequest, NotAllowed, PaymentSnapshot
from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    LATER_HARD,
    LATER_SOFT,
    opt_out,
    payments,
    renewed,
    subscription,
    watchable,
)
from tests.kit.waiting import until


async def days(cinema: Cinema, count: int) -> None:
    for _ in range(count):
        await cinema.advance(timedelta(days=1))
        await cinema.tick()
        await cinema.tick()  # the second one opens what the first one saw end


async def minutes(cinema: Cinema, count: int) -> None:
    for _ in range(count):
        await cinema.advance(timedelta(minutes=1))
        await cinema.tick()


def texts(moto: EmbeddedMoto) -> list[str]:
    parts = (part for mail in moto.sent() for part in mail.message.walk())
    return [part.get_content() for part in parts if part.get_content_type() == "text/plain"]


async def pay(cinema: Cinema, url: str | None) -> None:
    assert url
    await cinema.pay(url)
    await until(lambda: payments(cinema)[-1] == "succeeded")


# ---- declined by the bank ----------------------------------------------------------------------------------


async def test_a_hard_decline_brings_a_link_at_once_and_paying_it_keeps_the_new_card(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    found = await renewed(cinema)
    await cinema.drain()
    found = await subscription(cinema)
    assert (found["status"], found["next_retry_at"]) == ("past_due", None)
    assert found["checkout_url"]
    assert found["checkout_url"] in texts(moto)[-1]
    assert "will not be charged again" in " ".join(texts(moto)[-1].split())
    assert len(texts(moto)) == 2  # the receipt, and one mail about the decline

    await pay(cinema, found["checkout_url"])
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"], found["checkout_url"]) == ("active", 2, None)
    new_card = cinema.value("SELECT id FROM payment_methods ORDER BY id DESC LIMIT 1")
    assert found["payment_method_id"] == new_card
    assert (await renewed(cinema))["period"]["n"] == 3
    assert cinema.value("SELECT count(*) FROM payments WHERE payment_method_id = %s", new_card) == 1


async def test_the_link_works_on_any_day_until_the_end_and_there_are_never_two(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    await renewed(cinema)
    live = "SELECT count(*) FROM payments WHERE status IN ('created', 'sending', 'pending', 'action_required', 'unknown')"
    url = None
    for _ in range(20):
        await days(cinema, 1)
        url = (await subscription(cinema))["checkout_url"]
        assert url
        assert url in "".join(texts(moto))
        assert (await cinema.http.get(url)).status_code == 200
        assert cinema.value(live) == 1
    assert (await subscription(cinema))["status"] == "suspended"
    assert await watchable(cinema) == []
    await pay(cinema, url)
    assert (await subscription(cinema))["status"] == "active"
    assert await watchable(cinema) == ["prd_basic"]


async def test_the_mail_about_the_suspension_has_the_link_of_that_day(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    await renewed(cinema)
    await days(cinema, 7)
    (told,) = (text for text in texts(moto) if "you cannot watch it for now" in " ".join(text.split()))
    url = (await subscription(cinema))["checkout_url"]
    links = [row for row in payments(cinema, "checkout_url") if row]
    assert url in links
    # The link of the first seven days ended with them: this mail names the new one, or the next mail brings it.
    assert not any(link in told for link in links if link != url)
    assert any(url in text for text in texts(moto)[texts(moto).index(told) :])


async def test_who_pays_by_the_link_of_a_mail_comes_back_to_the_page_of_the_gateway(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    await renewed(cinema)
    found = await subscription(cinema)
    assert found["checkout_url"] in texts(moto)[-1]
    paid = await cinema.pay(found["checkout_url"])
    assert paid.status_code == 303
    assert paid.headers["location"].startswith(cinema.rt.settings.public_url + AFTER_PAYMENT)
    await cinema.until(f"/v1/subscriptions/{found['id']}", status="active")


async def test_soft_declines_that_end_bring_the_link_as_well(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    assert (await renewed(cinema))["checkout_url"] is None
    assert (await subscription(cinema))["next_retry_at"]
    await days(cinema, 7)
    found = await subscription(cinema)
    assert (found["status"], found["next_retry_at"]) == ("suspended", None)
    assert found["checkout_url"] in texts(moto)[-1]
    await pay(cinema, found["checkout_url"])
    assert (await subscription(cinema))["status"] == "active"


async def test_opting_out_closes_the_link(cinema: Cinema) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    await renewed(cinema)
    await cinema.drain()
    assert (await opt_out(cinema))["status"] == "canceled"
    await cinema.tick()
    assert payments(cinema)[-1] == "canceled"
    await days(cinema, 2)
    assert len(payments(cinema)) == 3


# ---- refused by the provider -------------------------------------------------------------------------------


def refuse(cinema: Cinema, verb: str, error: Exception) -> list[Any]:
    """From now on the provider answers this to the verb. Returns the requests it got."""
    asked: list[Any] = []

    async def answer(request: Any) -> Any:
        asked.append(request)
        raise error

    setattr(cinema.rt.providers["sandbox"], verb, answer)
    return asked


REFUSALS: list[Exception] = [
    InvalidRequest("sandbox", "parameter_invalid", "whatever it is"),
    NotAllowed("sandbox", "off_session_disabled", "the feature is off"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
async def test_a_charge_that_is_always_refused_ends_in_dunning_with_a_link(
    cinema: Cinema, moto: EmbeddedMoto, error: Exception
) -> None:
    await cinema.bought(BASIC)
    asked = refuse(cinema, "charge", error)
    await renewed(cinema)
    assert (await subscription(cinema))["status"] == "active"  # for minutes it may be a trouble of ours
    await minutes(cinema, 40)
    found = await subscription(cinema)
    assert found["status"] == "past_due"
    assert len(asked) == 5
    assert found["checkout_url"] in texts(moto)[-1]
    assert "not your fault" in " ".join(texts(moto)[-1].split())
    await days(cinema, 3)
    assert len(asked) == 5
    await pay(cinema, (await subscription(cinema))["checkout_url"])
    assert (await subscription(cinema))["status"] == "active"


async def test_a_method_that_the_provider_does_not_know_brings_the_link_at_once(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC)
    cinema.rows("UPDATE payment_methods SET provider_ref = 'pm_unheard_of' RETURNING id")
    found = await renewed(cinema)
    await cinema.drain()
    found = await subscription(cinema)
    assert found["status"] == "past_due"
    assert payments(cinema, "status, decline_reason")[1] == ("declined", "payment_method_unknown")
    assert found["checkout_url"] in texts(moto)[-1]
    await pay(cinema, found["checkout_url"])
    assert (await renewed(cinema))["period"]["n"] == 3


async def test_an_amount_below_the_minimum_is_no_endless_renewal(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await cinema.bought(BASIC)
    with cinema.db() as db:  # a plan from before prices were held against the minimum
        db.execute("ALTER TABLE prices DISABLE TRIGGER ALL")
        db.execute("UPDATE prices SET amount_minor = 49 WHERE id = %s", [BASIC])
    cinema.rows("UPDATE subscriptions SET amount_minor = 49 RETURNING id")
    cinema.rows("UPDATE orders SET amount_minor = 799 RETURNING id")
    with capture_logs() as lines:
        await renewed(cinema)
    assert [line["log_level"] for line in lines if line["event"] == "amount_too_small"] == ["error"]
    assert payments(cinema, "status, decline_reason")[1] == ("declined", "amount_too_small")
    await days(cinema, 2)
    assert (await subscription(cinema))["status"] == "past_due"
    assert "We will send you a link" in " ".join(" ".join(texts(moto)).split())
    await days(cinema, 20)
    assert (await subscription(cinema))["status"] == "canceled"
    assert len(payments(cinema)) < 30  # a link is tried at most daily
    cinema.rows("UPDATE prices SET amount_minor = 799 WHERE id = %s RETURNING id", BASIC)
    cinema.rows("UPDATE payments SET amount_minor = 799 RETURNING id")
    cinema.rows("UPDATE orders SET amount_minor = 799 RETURNING id")


async def test_a_charge_that_is_refused_once_is_only_tried_again(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    real: Callable[[ChargeRequest], Awaitable[PaymentSnapshot]] = cinema.rt.providers["sandbox"].charge
    refuse(cinema, "charge", REFUSALS[0])
    await renewed(cinema)
    setattr(cinema.rt.providers["sandbox"], "charge", real)  # noqa: B010  # a protocol's verb
    await minutes(cinema, 2)
    found = await subscription(cinema)
    assert (found["status"], found["period"]["n"]) == ("active", 2)
    assert payments(cinema) == ["succeeded", "canceled", "succeeded"]


async def test_while_no_page_can_be_opened_the_customer_hears_of_the_decline_and_later_gets_the_link(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    provider = cinema.rt.providers["sandbox"]
    real = provider.create_checkout
    asked = refuse(cinema, "create_checkout", REFUSALS[0])
    await renewed(cinema)
    await cinema.drain()
    assert "We will send you a link" in " ".join(texts(moto)[-1].split())
    await days(cinema, 1)
    assert 1 < len(asked) <= 3
    setattr(provider, "create_checkout", real)  # noqa: B010
    await days(cinema, 1)
    assert (await subscription(cinema))["checkout_url"] in texts(moto)[-1]
    assert sum("We will send you a link" in " ".join(text.split()) for text in texts(moto)) == 1
