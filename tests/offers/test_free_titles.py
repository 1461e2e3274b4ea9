"""Free titles: given at once, by ourselves. No provider is asked, nothing is booked, and the facts are the same."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.steps import PLUS, payments, provider_down, watchable

OPERATOR = ("billing:operator",)
FREE = "prc_free"
EVERYTHING_ABOUT_IT = [
    "billing.order.created",
    "billing.order.paid",
    "billing.payment.succeeded",
    "billing.entitlement.granted",
]


def free_price(cinema: Cinema, kind: str = "purchase", currency: str = "EUR", **more: Any) -> str:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count,"
            " sellable_from) VALUES (%s, 'prd_stalker', %s, 0, %s, %s, %s, '2020-01-01')",
            [FREE, kind, currency, more.get("unit"), 1 if more.get("unit") else None],
        )
    return FREE


async def order(cinema: Cinema, *, customer: str = "ann", **how: Any) -> httpx.Response:
    body = {"price_id": FREE, "return_url": RETURN_URL, **how.pop("body", {})}
    return await cinema.call("POST", "/v1/orders", body, customer=customer, **how)


def assert_given(cinema: Cinema, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    given: dict[str, Any] = answer.json()
    assert (given["status"], given["checkout_url"], given["amount"]["minor"]) == ("paid", None, 0)
    assert (given["payment"]["status"], given["payment"]["provider"]) == ("succeeded", "boxoffice")
    assert cinema.rows("SELECT * FROM ledger_entries WHERE order_id = %s", given["id"]) == []
    told = cinema.rows("SELECT type FROM outbox WHERE subject = %s ORDER BY sequence", given["id"])
    assert [row[0] for row in told] == EVERYTHING_ABOUT_IT
    return given


async def asked_about(cinema: Cinema, order_id: str) -> list[Any]:
    """What the provider knows of it."""
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    found = await cinema.http.get(cinema.sandbox.url + "/v1/payments?limit=100", headers=headers)
    return [one for one in found.json()["data"] if one["metadata"].get("order_id") == order_id]


@pytest.mark.parametrize("kind", ["purchase", "rental"])
@pytest.mark.parametrize("prefer", [None, "respond-async"])
async def test_a_free_title_is_paid_and_watchable_with_the_first_answer(
    cinema: Cinema, kind: str, prefer: str | None
) -> None:
    free_price(cinema, kind)
    given = assert_given(cinema, await order(cinema, headers={"prefer": prefer} if prefer else {}))
    assert await watchable(cinema) == ["prd_stalker"]
    (entitlement,) = (await cinema.get("/v1/entitlements"))["items"]
    assert (entitlement["ends_at"] is None) is (kind == "purchase")
    assert await asked_about(cinema, given["id"]) == []
    await cinema.tick()
    assert payments(cinema) == ["succeeded"]
    mails = "SELECT status FROM notifications WHERE event_type = 'billing.order.paid'"
    assert cinema.rows(mails) == [("sent",)]


async def test_a_currency_that_no_provider_takes_is_no_matter(cinema: Cinema) -> None:
    free_price(cinema, currency="BRL")
    given = assert_given(cinema, await order(cinema))
    assert given["amount"] == {"minor": 0, "currency": "BRL"}


async def test_a_provider_that_is_down_is_no_matter(cinema: Cinema) -> None:
    free_price(cinema)
    await provider_down(cinema)
    assert_given(cinema, await order(cinema))
    assert await watchable(cinema) == ["prd_stalker"]
    await provider_down(cinema, down=False)


async def test_a_saved_card_is_left_alone(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    free_price(cinema)
    given = assert_given(cinema, await order(cinema, body={"payment_method_id": method["id"]}))
    assert await asked_about(cinema, given["id"]) == []
    unknown = await order(cinema, customer="bob", body={"payment_method_id": method["id"]})
    assert_problem(unknown, "payment_method_unknown")


async def test_a_provider_that_is_named_must_exist_all_the_same(cinema: Cinema) -> None:
    free_price(cinema)
    assert_problem(await order(cinema, body={"provider": "boxoffice"}), "provider_unknown")
    assert_given(cinema, await order(cinema, body={"provider": "sandbox"}))


async def test_the_same_key_is_one_order(cinema: Cinema) -> None:
    free_price(cinema)
    answers = await asyncio.gather(*(order(cinema, key="once") for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = await order(cinema, key="once")
    assert again.headers["idempotent-replayed"] == "true"
    assert {answer.content for answer in answers if answer.status_code == 201} == {again.content}
    assert cinema.value("SELECT count(*) FROM orders") == 1


async def test_a_free_title_is_owned_once(cinema: Cinema) -> None:
    free_price(cinema)
    assert_given(cinema, await order(cinema))
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await order(cinema), "already_owned")


async def test_nothing_is_left_to_refund_of_it(cinema: Cinema) -> None:
    free_price(cinema)
    given = assert_given(cinema, await order(cinema))
    await cinema.drain()
    wish = {"order_id": given["id"], "reason": "wish"}
    with nothing_changes(cinema):
        assert_problem(await cinema.call("POST", "/v1/refunds", wish), "refund_too_much")
        by_operator = await cinema.call("POST", "/v1/refunds", wish, customer="olga", scopes=OPERATOR)
        assert_problem(by_operator, "refund_too_much")
    assert await watchable(cinema) == ["prd_stalker"]


async def test_a_trial_with_a_saved_card_has_nothing_to_refund_either(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    trial = await cinema.order(PLUS, payment_method_id=method["id"])
    assert trial["status"] == "paid"
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": trial["id"], "reason": "wish"})
    assert_problem(answer, "refund_too_much")


@pytest.mark.parametrize("price", ["trial", "free plan"])
async def test_a_subscription_for_nothing_still_has_its_card_verified(cinema: Cinema, price: str) -> None:
    price_id = PLUS if price == "trial" else free_price(cinema, "subscription", unit="month")
    opened = await cinema.order(price_id)
    assert (opened["status"], opened["payment"]["provider"]) == ("pending", "sandbox")
    assert opened["checkout_url"]
    await cinema.pay(opened["checkout_url"])
    await cinema.until(f"/v1/orders/{opened['id']}", status="paid")
    assert len((await cinema.get("/v1/payment-methods"))["items"]) == 1
