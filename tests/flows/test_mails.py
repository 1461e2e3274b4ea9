"""Mails: one per thing that happened, in the customer's language, never twice on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import cast

import pytest

from infra.servers.moto import EmbeddedMoto
from shared_lib.billing.jobs import MAILED_AFTER
from shared_lib.phases.notifications import ClaimedNotification, ClaimNotification, claim_notifications
from tests.kit.cinema import Cinema
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_CHALLENGE,
    LATER_SOFT,
    PLUS,
    bearer,
    bought_as,
    opt_out,
    payments,
    renewed,
    to,
    utc,
)
from tests.kit.waiting import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("moto_up")


@pytest.fixture
def moto_up(moto: EmbeddedMoto) -> Iterator[None]:
    yield
    moto.start()  # a test may have killed it


def subjects(moto: EmbeddedMoto) -> list[str]:
    """Subjects of the mails that have left, with the kind of space people type."""
    return [str(mail.message["Subject"]).replace("\u00a0", " ") for mail in moto.sent()]


async def test_what_a_customer_does_is_told_once_in_english(cinema: Cinema, moto: EmbeddedMoto) -> None:
    order = await cinema.bought(FILM)
    await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish"})
    await cinema.drain()
    assert subjects(moto) == ["Receipt: Metropolis (1927), €12.99", "Refund: €12.99 for Metropolis (1927)"]
    assert {mail.recipients for mail in moto.sent()} == {("ann@example.com",)}
    await cinema.tick()
    assert len(moto.sent()) == 2


async def test_what_a_customer_does_is_told_once_in_russian(cinema: Cinema, moto: EmbeddedMoto) -> None:
    russian = bearer(cinema, locale="ru-RU")
    await bought_as(cinema, BASIC, russian)
    await renewed(cinema)
    await opt_out(cinema)
    await cinema.advance(MAILED_AFTER)
    await cinema.drain()
    first, second, third = subjects(moto)
    assert first == "Оплачено: «Cinema Basic», 7,99 €"
    assert second == "Подписка «Cinema Basic» продлена, 7,99 €"
    assert "Cinema Basic" in third
    assert all(mail.message["Content-Language"] in ("ru", None) for mail in moto.sent())


async def test_a_life_in_dunning_is_told_step_by_step(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await cinema.bought(BASIC, number=LATER_SOFT)
    await renewed(cinema)
    for _ in range(22):
        await cinema.advance(timedelta(days=1))
        await cinema.tick()
    told = subjects(moto)
    assert told[0] == "Receipt: Cinema Basic, €7.99"
    assert told[1:] == [
        *["We could not renew Cinema Basic"] * 4,
        "Cinema Basic is suspended",
        "Cinema Basic: please pay €7.99",  # the last attempt on day 7 failed; its link lives for a week
        "Cinema Basic: please pay €7.99",
        "Cinema Basic has ended",
    ]


async def test_a_renewal_to_confirm_brings_its_link_and_no_other_mail(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await renewed(cinema)
    assert subjects(moto)[1:] == ["Please confirm your payment of €7.99"]
    (text,) = (part for part in moto.sent()[1].message.walk() if part.get_content_type() == "text/plain")
    assert payments(cinema, "checkout_url")[-1] in text.get_content()


async def test_a_trial_and_its_first_payment_are_told_apart(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await to(cinema, utc(2031, 4, 1))
    await cinema.bought(PLUS)
    await renewed(cinema)
    assert subjects(moto) == [
        "Your trial of Cinema Plus has started",
        "Receipt: Cinema Plus renewed, €12.99",
    ]


async def test_surplus_is_told_once(cinema: Cinema, moto: EmbeddedMoto) -> None:
    canceled = await cinema.order(FILM)
    await cinema.call("POST", f"/v1/orders/{canceled['id']}/cancel")
    await cinema.bought(FILM)
    ref = cinema.value("SELECT provider_ref FROM payments WHERE order_id = %s", canceled["id"])
    await cinema.control(f"/control/payments/{ref}/succeed", {})
    await until(lambda: cinema.value("SELECT count(*) FROM payments WHERE surplus") == 1)
    await cinema.tick()
    assert subjects(moto) == [
        "Receipt: Metropolis (1927), €12.99",
        "We are sending €12.99 back to you",
    ]


async def test_the_same_event_twice_is_one_mail(cinema: Cinema, moto: EmbeddedMoto) -> None:
    data = await _receipt(cinema)
    for _ in range(2):
        answer = await cinema.event("billing.order.paid", data, event_id="evt_twice")
        assert answer.status_code == 200
    assert len(moto.sent()) == 1


async def test_while_ses_is_down_mails_wait_and_other_customers_too_get_theirs_later(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(FILM)
    await cinema.bought(FILM, customer="bob")
    moto.kill()
    await cinema.drain()
    assert cinema.rows("SELECT DISTINCT status FROM notifications") == [("failed",)]
    moto.start()
    moto.verify_domain("cinema.example")
    await cinema.advance(timedelta(minutes=5))
    await cinema.tick()
    assert sorted(mail.recipients for mail in moto.sent()) == [("ann@example.com",), ("bob@example.com",)]
    assert cinema.rows("SELECT DISTINCT status FROM notifications") == [("sent",)]


async def test_a_mail_service_that_lost_our_sender_delays_mails_and_loses_none(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    customers = [f"ann{n}" for n in range(6)]
    moto.kill()
    moto.start()  # what it had verified is gone
    for customer in customers:
        await cinema.bought(FILM, customer=customer)
    for _ in range(3):  # longer than the patience of relay and triggers
        await cinema.tick()
        await cinema.advance(timedelta(minutes=30))
    assert cinema.rows("SELECT DISTINCT status FROM notifications") == [("failed",)]
    assert cinema.value("SELECT count(*) FROM dead_letters") == 0
    assert (
        cinema.value(
            "SELECT count(*) FROM notifications WHERE created_at < boxoffice_now() - interval '1 hour'"
        )
        == 6
    )
    moto.verify_domain("cinema.example")

    async with asyncio.timeout(PATIENCE_S):
        while cinema.rows("SELECT DISTINCT status FROM notifications") != [("sent",)]:
            await cinema.advance(timedelta(minutes=16))
            await cinema.tick()
            await asyncio.sleep(0.1)  # the channel's own pause is real time
    assert sorted(mail.recipients for mail in moto.sent()) == [
        (f"{customer}@example.com",) for customer in customers
    ]
    assert cinema.value("SELECT count(*) FROM outbox") == 0


async def test_a_no_about_an_address_is_final_and_stops_nobody_else(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(FILM)
    await cinema.bought(FILM, customer="bob")
    with cinema.db() as db:
        db.execute("UPDATE customers SET email = 'bob@example..com' WHERE id = 'bob'")
    await cinema.drain()
    assert sorted(row[0] for row in cinema.rows("SELECT status FROM notifications")) == ["sent", "skipped"]
    assert [mail.recipients for mail in moto.sent()] == [("ann@example.com",)]


async def test_a_mail_that_cannot_leave_for_days_is_given_up_and_shown(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    await cinema.bought(FILM)
    moto.kill()
    await cinema.drain()
    await cinema.advance(timedelta(days=3, minutes=1))
    await cinema.tick()
    ((status, detail),) = cinema.rows("SELECT status, detail FROM notifications")
    assert status == "refused"
    assert detail.startswith("given up: ")
    assert cinema.value("SELECT count(*) FROM outbox") == 0


async def test_an_event_that_comes_again_while_its_mail_waits_is_one_mail(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    data = await _receipt(cinema)
    moto.kill()
    assert (await cinema.event("billing.order.paid", data, event_id="evt_again")).status_code == 200
    assert cinema.rows("SELECT status FROM notifications") == [("failed",)]
    moto.start()
    moto.verify_domain("cinema.example")
    # A dead letter that was replayed, or a second delivery, before the job's time has come; then the job.
    assert (await cinema.event("billing.order.paid", data, event_id="evt_again")).status_code == 200
    await cinema.advance(timedelta(hours=1))
    await cinema.tick()
    assert cinema.rows("SELECT status FROM notifications WHERE event_id = 'evt_again'") == [("sent",)]
    assert len(moto.sent()) == 1


async def test_a_mail_that_may_have_left_is_not_sent_again(cinema: Cinema, moto: EmbeddedMoto) -> None:
    data = await _receipt(cinema)
    claim = ClaimNotification(event_id="evt_lost", event_type="billing.order.paid", customer_id="ann")
    claimed = await cinema.rt.run(claim_notifications, claim)
    assert isinstance(claimed, ClaimedNotification)  # and here its process dies

    busy = await cinema.event("billing.order.paid", data, event_id="evt_lost")
    assert busy.status_code == 503
    await cinema.advance(timedelta(minutes=3))
    for _ in range(2):
        answer = await cinema.event("billing.order.paid", data, event_id="evt_lost")
        assert answer.status_code == 200
    assert cinema.rows("SELECT status, attempts FROM notifications") == [("unknown", 2)]
    assert moto.sent() == []


async def test_a_customer_without_an_address_is_skipped(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await bought_as(cinema, FILM, bearer(cinema, email=None))
    await cinema.drain()
    assert cinema.rows("SELECT status, detail FROM notifications") == [("skipped", "no address")]
    assert moto.sent() == []


async def test_an_event_without_what_its_mail_needs_is_refused_once_and_stops_nobody(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    order = await cinema.order(FILM)
    answer = await cinema.event("billing.order.paid", {"customer_id": "ann"}, event_id="evt_bare")
    assert answer.status_code == 422
    assert cinema.rows("SELECT status FROM notifications") == []
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await cinema.drain()
    assert len(moto.sent()) == 1


async def _receipt(cinema: Cinema) -> dict[str, object]:
    """Data of the receipt of an order that was paid; its own event is taken away."""
    await cinema.bought(FILM)
    data = cast(
        "dict[str, object]", cinema.value("SELECT data FROM outbox WHERE type = 'billing.order.paid'")
    )
    with cinema.db() as db:
        db.execute("DELETE FROM outbox")
    return data
