"""What customers and the catalog write and a provider or the mail service reads: fitted, or refused with 422.

The error level of a log line calls a person. No text of a customer reaches it.
"""

from __future__ import annotations

from typing import Any, cast

import httpx
import pytest
import structlog

from shared_lib.domain.values import replace
from shared_lib.providers.base import Capabilities, PaymentProvider
from tests.kit.answers import assert_problem, nothing_changes, order_body
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.steps import bearer

UNUSABLE = ["a@[", "a@[127.0.0.1]", "@", "a@", "@b.example", "a b@c.example", "a@b..example", "a@" + "b" * 300,
            "x" * 65 + "@b.example", '"a\\"@b.example', "a@b.example, c@d.example", "a@b@c.example", "a@-b.example",
            "<a@b.example>", "Ann <a@b.example>", "a\u202e@b.example", "\u00e4@b.example", "a.@b.example", "x" * 2000]  # fmt: skip


class Told:
    """The provider, remembering what it was asked for."""

    def __init__(self, real: PaymentProvider, **changed: Any) -> None:
        self._real = real
        self.capabilities = replace(real.capabilities, **changed)
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def create_checkout(self, req: Any) -> Any:
        self.asked.append(req)
        return await self._real.create_checkout(req)

    async def charge(self, req: Any) -> Any:
        self.asked.append(req)
        return await self._real.charge(req)


def told(cinema: Cinema, **changed: Any) -> Told:
    provider = Told(cinema.rt.providers["sandbox"], **changed)
    cinema.rt.providers["sandbox"] = cast("PaymentProvider", provider)
    return provider


def calls_of_a_person(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["log_level"] in ("error", "critical")]


def titled(cinema: Cinema, title: str, price_id: str = "prc_titled") -> str:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO products (id, title, created_at) VALUES ('prd_titled', %s, now())"
            " ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title",
            [title],
        )
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
            " VALUES (%s, 'prd_titled', 'rental', 399, 'EUR', '2020-01-01') ON CONFLICT DO NOTHING",
            [price_id],
        )
    return price_id


async def order(cinema: Cinema, price_id: str = "prc_metropolis_buy", **more: Any) -> httpx.Response:
    return await cinema.call("POST", "/v1/orders", order_body(price_id), **more)


@pytest.mark.parametrize("email", UNUSABLE, ids=lambda text: text[:20])
async def test_an_address_that_cannot_be_used_is_none(cinema: Cinema, email: str) -> None:
    provider = told(cinema)
    with structlog.testing.capture_logs() as lines:
        opened = await order(cinema, headers=bearer(cinema, email=email))
        assert opened.status_code == 201, opened.text
        await cinema.pay(opened.json()["checkout_url"])
        await cinema.until(f"/v1/orders/{opened.json()['id']}", status="paid")
        await cinema.drain()
    assert [asked.customer_email for asked in provider.asked] == [None]
    assert cinema.rows("SELECT email FROM customers") == [(None,)]
    assert cinema.rows("SELECT status, detail FROM notifications") == [("skipped", "no address")]
    assert calls_of_a_person(lines) == []


async def test_an_address_that_was_stored_before_it_was_looked_at_stops_nothing(cinema: Cinema) -> None:
    opened = (await order(cinema)).json()
    with cinema.db() as db:
        db.execute("UPDATE customers SET email = 'a@['")
    await cinema.pay(opened["checkout_url"])
    await cinema.until(f"/v1/orders/{opened['id']}", status="paid")
    await cinema.drain()
    assert cinema.rows("SELECT status, detail FROM notifications") == [("skipped", "no address")]
    assert cinema.rows("SELECT * FROM outbox") == []


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("x" * 501, "x" * 499 + "\u2026"),
        ("x" * 500, "x" * 500),
        ("\U0001f3ac" * 501, None),
        ("one\r\ntwo\x00\tthree".replace("\x00", "\x01"), "one two three"),
        ("\u202eFilm\u202c \u2067x\u2069\u2028y", "Film x y"),
        (" \u200b\n ", "prd_titled"),
        ("", "prd_titled"),
        ("a" * 498 + "\U0001f468\u200d\U0001f469\u200d\U0001f467", "a" * 498 + "\u2026"),
    ],
)
async def test_a_title_is_shown_to_the_provider_as_it_can_take_it(
    cinema: Cinema, title: str, shown: str | None
) -> None:
    provider = told(cinema)
    with structlog.testing.capture_logs() as lines:
        answer = await order(cinema, titled(cinema, title))
    assert answer.status_code == 201, answer.text
    assert answer.json()["product"]["title"] == title  # ours is never shortened
    (asked,) = provider.asked
    assert 1 <= len(asked.description) <= 500
    assert shown is None or asked.description == shown
    assert calls_of_a_person(lines) == []


async def test_a_charge_of_a_saved_card_shortens_the_title_too(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    provider = told(cinema, description_max=20)
    paid = await cinema.order(titled(cinema, "A title of many words"), payment_method_id=method["id"])
    assert paid["status"] == "paid"
    assert [asked.description for asked in provider.asked] == ["A title of many wor\u2026"]


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("HTTP://cinema.test/thanks", "http://cinema.test/thanks"),
        ("hTTp://CINEMA.Test/Thanks?A=B#C", "http://cinema.test/Thanks?A=B#C"),
        ("http://cinema.test/" + "a" * 1981, "http://cinema.test/" + "a" * 1981),
        ("http://cinema.test?a[]=%20", "http://cinema.test?a[]=%20"),
    ],
    ids=["scheme", "host", "longest", "query"],
)
async def test_a_page_to_return_to_is_written_in_one_way(cinema: Cinema, url: str, sent: str) -> None:
    provider = told(cinema)
    answer = await cinema.call("POST", "/v1/orders", order_body(return_url=url))
    assert answer.status_code == 201, answer.text
    assert [(asked.return_url, asked.cancel_url) for asked in provider.asked] == [(sent, sent)]


async def test_a_page_to_return_to_that_a_provider_may_refuse_is_refused_by_us(cinema: Cinema) -> None:
    with nothing_changes(cinema), structlog.testing.capture_logs() as lines:
        for url in ("http://cinema.test/" + "a" * 1982, "HTTP://cinema.test/" + "a" * 2000):
            errors = assert_problem(
                await cinema.call("POST", "/v1/orders", order_body(return_url=url)), "body_invalid"
            )["errors"]
            assert [error["at"] for error in errors] == ["return_url"]
        for mark in ('"', "<", ">", "{", "}", "|", "^", "`", "%", "%4", "%zz"):
            url = f"http://cinema.test/{mark}"
            answer = await cinema.call("POST", "/v1/orders", order_body(return_url=url))
            assert_problem(answer, "return_url_forbidden")
    assert calls_of_a_person(lines) == []


async def test_the_narrowest_provider_sets_the_limit(cinema: Cinema) -> None:
    told(cinema, return_url_max=30)
    long = await cinema.call("POST", "/v1/orders", order_body(return_url="http://cinema.test/" + "a" * 12))
    assert_problem(long, "body_invalid")
    fits = await cinema.call("POST", "/v1/orders", order_body(return_url="http://cinema.test/" + "a" * 11))
    assert fits.status_code == 201


async def test_a_value_of_the_customer_that_a_provider_refuses_all_the_same_calls_no_person(
    cinema: Cinema,
) -> None:
    told(cinema, return_url_max=5000)  # wrong: the sandbox takes 2,000
    body = order_body(return_url="http://cinema.test/" + "a" * 2000)
    with structlog.testing.capture_logs() as lines:
        answer = await cinema.call("POST", "/v1/orders", body, key="long")
    problem = assert_problem(answer, "input_refused")
    assert calls_of_a_person(lines) == []
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["provider_refused_input"]
    assert (await cinema.get(f"/v1/orders/{problem['order_id']}"))["status"] == "canceled"
    again = await cinema.call("POST", "/v1/orders", body, key="long")
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")


@pytest.mark.parametrize(
    "customer",
    [
        "auth0|ann",
        "ann@example.com",
        "\u0430\u043d\u043d\u0430",
        "x" * 255,
        "'; DROP TABLE orders; --",
        "a b",
    ],
    ids=lambda text: text[:12],
)
async def test_any_customer_id_is_known_to_the_provider_by_a_plain_reference(
    cinema: Cinema, customer: str
) -> None:
    provider = told(cinema)
    for _ in range(2):
        answer = await order(cinema, headers=bearer(cinema, customer), key=None)
        assert answer.status_code == 201, answer.text
        await cinema.call(
            "POST", f"/v1/orders/{answer.json()['id']}/cancel", headers=bearer(cinema, customer)
        )
    first, second = (asked.customer_ref for asked in provider.asked)
    assert first == second
    assert len(first) <= provider.capabilities.reference_max
    assert all(mark.isascii() and (mark.isalnum() or mark in "-_") for mark in first)
    assert "@" not in customer or "ann" not in first


@pytest.mark.parametrize("locale", ["x" * 2000, "../../../etc/passwd", "ru\u202e", "en_" * 50, "-", "ru RU"])
async def test_a_language_that_is_none_is_english(cinema: Cinema, locale: str) -> None:
    opened = (await order(cinema, headers=bearer(cinema, locale=locale))).json()
    await cinema.pay(opened["checkout_url"])
    await cinema.until(f"/v1/orders/{opened['id']}", status="paid")
    await cinema.drain()
    assert cinema.rows("SELECT locale FROM customers") == [("en",)]
    assert cinema.rows("SELECT status FROM notifications") == [("sent",)]


async def test_a_long_title_reaches_the_mail(cinema: Cinema) -> None:
    await cinema.bought(titled(cinema, "\u202e\U0001f3ac " + "x" * 700))
    await cinema.drain()
    assert cinema.rows("SELECT status FROM notifications") == [("sent",)]


def test_the_limits_are_those_of_the_sandbox() -> None:
    from infra.sandbox.faces.native.bodies import CheckoutBody  # noqa: PLC0415
    from shared_lib.providers.sandbox import CAPABILITIES  # noqa: PLC0415

    def longest(field: str) -> int:
        schema = CheckoutBody.model_json_schema()["properties"][field]
        return int(schema.get("maxLength") or schema["anyOf"][0]["maxLength"])

    known: Capabilities = CAPABILITIES
    assert known.description_max == longest("description")
    assert known.return_url_max == longest("return_url") == longest("cancel_url")
    assert known.reference_max <= longest("customer_ref")
    assert longest("customer_email") >= 254
    assert RETURN_URL.startswith("http")
