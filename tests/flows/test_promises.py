"""What a mail promises is true: amounts and dates are those of the rows, and what is announced happens."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import pytest

from infra.servers.moto import EmbeddedMoto
from shared_lib.billing.jobs import MAILED_AFTER
from tests.kit.cinema import Cinema
from tests.kit.mails import mails
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_CHALLENGE,
    LATER_HARD,
    LATER_SOFT,
    PLUS,
    RENTAL,
    bank_says,
    operator_gives_back,
    opt_out,
    payments,
    renewed,
    subscription,
    watchable,
)
from tests.kit.waiting import until

MOMENT: Final = re.compile(r"(\d{1,2} [A-Z][a-z]+ \d{4}), (\d\d:\d\d)\s+UTC")


def said(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}, {at:%H:%M} UTC"


def euros(minor: int) -> str:
    return f"€{minor / 100:.2f}"


async def passes(cinema: Cinema, time: timedelta) -> None:
    await cinema.advance(time)
    await cinema.tick()
    await cinema.tick()  # the second one opens what the first one saw end


# ---- amounts and dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [FILM, RENTAL, BASIC, PLUS])
async def test_a_receipt_says_what_the_rows_say(cinema: Cinema, moto: EmbeddedMoto, price: str) -> None:
    order_id = (await cinema.bought(price))["id"]
    await cinema.drain()
    ((amount, paid_at, payment_id, start, end),) = cinema.rows(
        "SELECT amount_minor, paid_at, paid_payment_id, period_start, period_end FROM orders"
    )
    (mail,) = mails(moto)
    assert mail.facts["Charged today" if price == PLUS else "Paid"] == euros(amount)
    assert (mail.facts["Date"], mail.facts["Order"], mail.facts["Payment"]) == (
        said(paid_at),
        order_id,
        payment_id,
    )
    ends_at = cinema.value("SELECT ends_at FROM entitlements")
    if start:
        assert (mail.facts["From"], mail.facts["Until"]) == (said(start), said(end))
        assert said(ends_at) == said(end)
    if price == RENTAL:
        assert f"by {said(ends_at)}" in mail.text
    if price == PLUS:
        later = cinema.value("SELECT amount_minor FROM subscriptions")
        assert f"continues for {euros(later)} per period" in mail.text
        assert (await renewed(cinema))["status"] == "active"
        assert cinema.value("SELECT captured_minor FROM payments ORDER BY created_at DESC LIMIT 1") == later


async def test_each_announced_attempt_is_made_at_its_time_and_the_last_one_brings_the_link(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    announced = 0
    while cinema.value("SELECT next_retry_at FROM subscriptions"):
        ((retry_at, past_due_at, amount),) = cinema.rows(
            "SELECT next_retry_at, past_due_at, amount_minor FROM subscriptions"
        )
        announced, mail, before = announced + 1, mails(moto)[-1], len(payments(cinema))
        assert mail.facts["Next attempt"] == said(retry_at)
        assert mail.facts["Access until"] == said(past_due_at + timedelta(days=7))
        assert mail.facts["Not paid yet"] == euros(amount)
        await cinema.advance(retry_at - cinema.now() - timedelta(minutes=1))
        await cinema.tick()
        assert len(payments(cinema)) == before
        assert await watchable(cinema) == ["prd_basic"]
        await passes(cinema, timedelta(minutes=1, seconds=5))
        assert len(payments(cinema)) > before
    assert announced == 4
    last = mails(moto)[-1]
    assert payments(cinema, "checkout_url")[-1] in last.links
    assert "Every attempt" in last.text
    assert await watchable(cinema) == []


async def test_after_an_opt_out_nothing_is_charged_and_access_lasts_as_announced(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC)
    await cinema.drain()  # the welcome has been sent: mails of one moment have no order
    await opt_out(cinema)
    await passes(cinema, MAILED_AFTER + timedelta(seconds=10))
    end = cinema.value("SELECT period_end FROM subscriptions")
    mail = mails(moto)[-1]
    assert f"keep watching until {said(end)}" in mail.text
    await cinema.advance(end - cinema.now() - timedelta(minutes=1))
    await cinema.tick()
    assert await watchable(cinema) == ["prd_basic"]
    await passes(cinema, timedelta(minutes=2))
    assert await watchable(cinema) == []
    assert payments(cinema) == ["succeeded"]
    assert "has ended" in mails(moto)[-1].text


async def test_on_again_the_mail_names_the_day_and_the_price_of_the_renewal(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC)
    for auto_renew in (False, True):
        await opt_out(cinema, auto_renew=auto_renew)
        await passes(cinema, timedelta(hours=1))
    ((end, amount),) = cinema.rows("SELECT period_end, amount_minor FROM subscriptions")
    assert f"renewed on {said(end)} for {euros(amount)}" in mails(moto)[-1].text
    await renewed(cinema)
    assert cinema.rows("SELECT captured_minor, count(*) FROM payments GROUP BY 1") == [(amount, 2)]
    assert cinema.value("SELECT period_start FROM subscriptions") == end


@pytest.mark.parametrize("access", ["shorten", "keep", "end_now"])
async def test_a_refund_says_what_is_left_to_watch(cinema: Cinema, moto: EmbeddedMoto, access: str) -> None:
    order = await cinema.bought(BASIC)
    answer = await operator_gives_back(cinema, order, amount_minor=300, access=access)
    assert answer.status_code == 201, answer.text
    await cinema.drain()
    (mail,) = (mail for mail in mails(moto) if "Refunded" in mail.facts)
    assert mail.facts["Refunded"] == euros(300)
    assert mail.facts["Refund"] == cinema.value("SELECT id FROM refunds")
    ((ends_at, active),) = cinema.rows("SELECT ends_at, status = 'active' FROM entitlements")
    renews = cinema.value("SELECT auto_renew AND status = 'active' FROM subscriptions")
    moments = [" ".join(found.groups()) for found in MOMENT.finditer(mail.text)]
    assert bool(moments) is (access == "shorten")
    if access == "shorten":
        assert f"until {said(ends_at)}" in mail.text
        assert ("not renewed after that" in mail.text) is not renews
    assert ("has ended" in mail.text) is not active
    assert ("does not change" in mail.text) is (access == "keep")


async def test_a_mail_that_comes_too_late_to_be_true_is_not_sent(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await cinema.bought(BASIC)
    await cinema.drain()
    await bank_says(cinema, "do_not_honor", None)
    await renewed(cinema)
    await cinema.advance(timedelta(days=1, minutes=1))
    await cinema.tick()
    assert (await subscription(cinema))["status"] == "active"
    event_id, data = cinema.rows(
        "SELECT event_id, data FROM notifications WHERE event_type = 'billing.subscription.past_due'"
    )[0]
    before = len(moto.sent())
    again = await cinema.event("billing.subscription.past_due", data, event_id=f"{event_id}-again")
    assert again.status_code == 200
    assert len(moto.sent()) == before
    assert cinema.rows("SELECT status FROM notifications WHERE event_id = %s", f"{event_id}-again") == [
        ("skipped",)
    ]


# ---- why a renewal must be paid on a page --------------------------------------------------------------------


async def removed_by_customer(cinema: Cinema) -> None:
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    answer = await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}?confirm=true")
    assert answer.status_code == 204


async def removed_at_provider(cinema: Cinema) -> None:
    ref = cinema.value("SELECT provider_ref FROM payment_methods")
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    await cinema.http.delete(f"{cinema.sandbox.url}/v1/methods/{ref}", headers=headers)
    await until(lambda: not cinema.value("SELECT usable FROM payment_methods"))


async def removed_without_a_word(cinema: Cinema) -> None:
    cinema.rows("UPDATE payment_methods SET provider_ref = 'pm_unheard_of' RETURNING id")


async def never_saved(cinema: Cinema) -> None:
    cinema.rows("UPDATE subscriptions SET payment_method_id = NULL RETURNING id")


async def stolen(cinema: Cinema) -> None:
    await bank_says(cinema, "stolen_card")


async def declined_for_another(cinema: Cinema) -> None:
    cinema.rows("UPDATE payment_methods SET usable = false RETURNING id")


async def as_the_card_says(_: Cinema) -> None:
    """Its number decides."""


GOOD: Final = "4242424242424242"
WHY: Final[dict[str, tuple[str, Callable[[Cinema], Awaitable[None]], str]]] = {
    "removed by its owner": (GOOD, removed_by_customer, "has been removed"),
    "removed at the provider": (GOOD, removed_at_provider, "has been removed"),
    "unknown to the provider": (GOOD, removed_without_a_word, "has been removed"),
    "never saved": (GOOD, never_saved, "No card or account is saved"),
    "declined for good": (GOOD, stolen, "Your bank has declined the card"),
    "declined before": (GOOD, declined_for_another, "Your bank has declined the card"),
    "expired": (LATER_HARD, as_the_card_says, "has expired, and it will not"),
    "to be confirmed": (LATER_CHALLENGE, as_the_card_says, "your bank wants to be sure"),
}


@pytest.mark.parametrize("what", WHY)
async def test_the_mail_says_why_the_renewal_must_be_paid_on_a_page(
    cinema: Cinema, moto: EmbeddedMoto, what: str
) -> None:
    number, happens, sentence = WHY[what]
    await cinema.bought(BASIC, number=number)
    await happens(cinema)
    await renewed(cinema)
    await cinema.tick()
    mail = mails(moto)[-1]
    assert payments(cinema, "checkout_url")[-1] in mail.links
    assert [one for one in {row[2] for row in WHY.values()} if one in mail.text] == [sentence]
