"""A mail says what our rows say, whatever the event that asks for it says."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from infra.servers.moto import EmbeddedMoto
from shared_lib.mail.render import Brand, render, template_of
from shared_lib.queries.mails import MailEvent, mail_facts
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, LATER_CHALLENGE, LATER_SOFT, opt_out, renewed, to_period_end

BRAND: Final = Brand(name="Kino", account_url="https://kino.test/account", support_email="help@kino.test")
EVIL: Final = "https://evil.example/pay"
# Whatever a forger writes into an event of a proven sender.
LIES: Final[dict[str, Any]] = {
    "product_title": f"Pay now {EVIL}", "product_id": "prd_evil", "amount": {"minor": 1, "currency": "USD"},
    "checkout_url": EVIL, "period_end": "2040-01-01T00:00:00Z", "paid_at": "2040-01-01T00:00:00Z",
    "payment_id": EVIL, "reason": EVIL, "support_email": EVIL, "brand": {"account_url": EVIL, "name": EVIL},
}  # fmt: skip


def waiting(cinema: Cinema, kind: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Facts in the outbox that deserve a mail."""
    rows = cinema.rows("SELECT type, data FROM outbox WHERE topic = 'billing.events' ORDER BY id")
    return [(row[0], row[1]) for row in rows if template_of(row[0], row[1]) and kind in (None, row[0])]


def text_of(moto: EmbeddedMoto) -> str:
    parts = (part for mail in moto.sent() for part in mail.message.walk() if not part.is_multipart())
    return "\n".join(part.get_content() for part in parts) + str(
        [mail.message["Subject"] for mail in moto.sent()]
    )


async def assert_told_as_before(cinema: Cinema) -> int:
    """An honest event's mail reads as if it were rendered of the event."""
    found = waiting(cinema)
    for kind, data in found:
        told = MailEvent(type=kind, customer_id=data["customer_id"], data=data)
        known = await cinema.rt.read(mail_facts, told)
        assert known is not None, kind
        for locale in ("en", "ru"):
            told_as = [render(kind, one, locale, brand=BRAND) for one in (known.data, data)]
            assert told_as[0] == told_as[1], kind
    return len(found)


async def test_mails_of_honest_events_are_the_same(cinema: Cinema) -> None:
    told = 0
    order = await cinema.bought(FILM)
    told += await assert_told_as_before(cinema)
    assert (await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish"})).is_success
    told += await assert_told_as_before(cinema)
    await cinema.bought(BASIC)
    await opt_out(cinema)
    await opt_out(cinema, auto_renew=True)
    told += await assert_told_as_before(cinema)
    assert told >= 6


@pytest.mark.parametrize("card", [LATER_SOFT, LATER_CHALLENGE])
async def test_mails_of_honest_events_about_a_renewal_are_the_same(cinema: Cinema, card: str) -> None:
    await cinema.bought(BASIC, number=card)
    await cinema.drain()
    await to_period_end(cinema)
    assert (await cinema.event("billing.tick.renewal")).status_code == 200
    for _ in range(5):  # jobs alone: the facts stay in the outbox, to be looked at
        for event_id, kind, data in cinema.rows(
            "SELECT event_id, type, data FROM outbox WHERE topic = 'billing.jobs'"
        ):
            assert (await cinema.event(kind, data)).status_code == 200
            with cinema.db() as db:
                db.execute("DELETE FROM outbox WHERE event_id = %s", [event_id])
        assert (await cinema.event("billing.tick.reconcile")).status_code == 200
    assert await assert_told_as_before(cinema) >= 1


@pytest.mark.parametrize("kind", ["billing.order.paid", "billing.refund.succeeded"])
async def test_a_forgers_text_reaches_no_customer(cinema: Cinema, moto: EmbeddedMoto, kind: str) -> None:
    order = await cinema.bought(FILM)
    if kind == "billing.refund.succeeded":
        await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish"})
    ((_, honest),) = waiting(cinema, kind)
    forged = honest | {
        name: lie for name, lie in LIES.items() if name != "payment_id" or kind == "billing.order.paid"
    }
    assert (await cinema.event(kind, forged)).status_code == 200
    said = text_of(moto)
    assert "evil" not in said
    assert "Metropolis" in said
    assert "12.99" in said


async def test_a_forgers_link_is_replaced_by_the_payments_own(cinema: Cinema, moto: EmbeddedMoto) -> None:
    await cinema.bought(BASIC, number=LATER_CHALLENGE)
    await renewed(cinema)
    moto_before = len(moto.sent())
    payment_id, order_id, link = cinema.rows(
        "SELECT id, order_id, checkout_url FROM payments ORDER BY created_at DESC LIMIT 1"
    )[0]
    data = {
        "customer_id": "ann",
        "payment_id": payment_id,
        "order_id": order_id,
        "why": "confirm",
        "again": False,
    }
    forged = LIES | data
    assert (await cinema.event("billing.payment.action_required", forged)).status_code == 200
    assert len(moto.sent()) == moto_before + 1
    assert "evil" not in text_of(moto)
    assert link in text_of(moto)


async def test_an_event_about_what_its_customer_does_not_have_is_refused_for_good(
    cinema: Cinema, moto: EmbeddedMoto
) -> None:
    order = await cinema.bought(FILM)
    await cinema.bought(BASIC)
    facts = dict(waiting(cinema))
    open_order = await cinema.order("prc_stalker_buy")
    await cinema.order(FILM, customer="bob")
    payment_id = order["payment"]["id"]
    subscription_id = cinema.value("SELECT id FROM subscriptions")
    paid = "billing.order.paid"
    foreign: list[tuple[str, dict[str, Any]]] = [
        (paid, facts[paid] | {"customer_id": "bob"}),
        (paid, facts[paid] | {"order_id": "ord_nobody"}),
        (paid, facts[paid] | {"order_id": open_order["id"]}),  # not paid
        (paid, {"customer_id": "ann"}),
        (paid, {"order_id": order["id"]}),
        (paid, facts[paid] | {"order_id": ["x"]}),
        (paid, facts[paid] | {"order_id": "ord\u0000"}),
        ("billing.payment.surplus", {"customer_id": "bob", "payment_id": payment_id}),
        ("billing.payment.surplus", {"customer_id": "ann", "payment_id": open_order["payment"]["id"]}),
        ("billing.payment.action_required", {"customer_id": "bob", "payment_id": payment_id}),
        ("billing.refund.succeeded", {"customer_id": "ann", "refund_id": "ref_nobody"}),
        ("billing.subscription.canceled", {"customer_id": "bob", "subscription_id": subscription_id}),
        ("billing.subscription.paused", {"customer_id": "ann", "subscription_id": "sub_nobody"}),
    ]
    for kind, data in foreign:
        answer = await cinema.event(kind, json.loads(json.dumps(data)))
        assert answer.status_code == 422, f"{kind} {data}: {answer.status_code} {answer.text}"
    assert moto.sent() == []
    assert cinema.rows("SELECT status FROM notifications") == []
