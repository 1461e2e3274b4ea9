"""Bodies: only what is asked for, of the right type, and not too much of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from tests.kit.answers import assert_problem, nothing_changes, order_body
from tests.kit.cinema import RETURN_URL, Cinema

NOT_JSON = {
    "nothing": b"",
    "a word": b"price",
    "half an object": b'{"price_id": "prc_metropolis_buy"',
    "two objects": b"{}{}",
    "single quotes": b"{'price_id': 'x'}",
    "invalid UTF-8": b'{"price_id": "\xff\xfe"}',
    "an overlong slash": b'{"price_id": "\xc0\xaf"}',
    "UTF-16": '{"price_id": "x"}'.encode("utf-16"),
    "a lone surrogate": b'{"price_id": "\\ud800"}',
    "a raw NUL": b'{"price_id": "\x00"}',
    "ten thousand brackets": b"[" * 10_000 + b"]" * 10_000,
    "ten thousand objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a form": b"price_id=prc_metropolis_buy",
}

SMUGGLED: list[dict[str, Any]] = [
    {"amount": 1},
    {"amount_minor": 1},
    {"price": {"minor": 1, "currency": "EUR"}},
    {"currency": "KZT"},
    {"status": "paid"},
    {"user_id": "bob"},
    {"customer_id": "bob"},
    {"sub": "bob"},
    {"id": "ord_mine"},
    {"checkout_url": "http://evil.test"},
    {"trial_days": 365},
    {"card_number": "4242424242424242"},
    {"__proto__": {"admin": True}},
]

MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"price_id": 7}, "price_id"),
    ({"price_id": None}, "price_id"),
    ({"price_id": ["prc_metropolis_buy"]}, "price_id"),
    ({"price_id": {"$ne": ""}}, "price_id"),
    ({"price_id": ""}, "price_id"),
    ({"price_id": "a" * 65}, "price_id"),
    ({"price_id": "prc'; DROP TABLE orders; --"}, "price_id"),
    ({"price_id": "prc_\u0000"}, "price_id"),
    ({"price_id": "prc_metropolis_buy\n"}, "price_id"),
    ({"return_url": 1}, "return_url"),
    ({"return_url": "http:"}, "return_url"),
    ({"provider": True}, "provider"),
    ({"provider": ""}, "provider"),
    ({"promotion_code": "x" * 65}, "promotion_code"),
    ({"payment_method_id": "../pm"}, "payment_method_id"),
]


async def test_a_body_that_is_not_json_is_refused(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for what, body in NOT_JSON.items():
            answer = await cinema.call("POST", "/v1/orders", body)
            assert answer.status_code == 400, f"{what}: {answer.status_code} {answer.text}"
            assert_problem(answer, "body_not_json")


async def test_json_of_another_shape_is_refused(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for body in (b"null", b"[]", b'"prc_metropolis_buy"', b"7", b"true", b"[[[[[]]]]]", b"{}", b"1e999"):
            assert_problem(await cinema.call("POST", "/v1/orders", body), "body_invalid")


async def test_nothing_can_be_smuggled_in_beside_what_is_asked_for(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for more in SMUGGLED:
            answer = await cinema.call("POST", "/v1/orders", order_body(**more))
            (error,) = assert_problem(answer, "body_invalid")["errors"]
            assert error["at"] == next(iter(more))
            assert "4242424242424242" not in answer.text


async def test_each_misfit_is_named_by_its_place(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for more, place in MISFITS:
            answer = await cinema.call(
                "POST", "/v1/orders", order_body(**{"price_id": "prc_metropolis_buy", **more})
            )
            errors = assert_problem(answer, "body_invalid")["errors"]
            assert [error["at"] for error in errors] == [place], more


async def test_a_field_given_twice_is_refused(cinema: Cinema) -> None:
    twice = [
        b'{"price_id": "prc_metropolis_buy", "return_url": "%s", "return_url": "http://evil.test/"}',
        b'{"price_id": "prc_metropolis_buy", "return_url": "http://evil.test/", "return_url": "%s"}',
        b'{"price_id": "prc_metropolis_buy", "price_id": "prc_metropolis_buy", "return_url": "%s"}',
    ]
    with nothing_changes(cinema):
        for body in twice:
            answer = await cinema.call("POST", "/v1/orders", body % RETURN_URL.encode())
            (error,) = assert_problem(answer, "body_invalid")["errors"]
            assert error == {"at": "", "message": "a name that appears twice"}


async def test_too_large_a_body_is_refused_by_its_announced_length(cinema: Cinema) -> None:
    body = json.dumps(order_body(payment_method_id="x" * 70_000)).encode()
    with nothing_changes(cinema):
        assert_problem(await cinema.call("POST", "/v1/orders", body), "body_too_large")


async def test_too_large_a_body_is_refused_while_it_comes_in_chunks(cinema: Cinema) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 1024

    headers = {"authorization": f"Bearer {cinema.token()}", "idempotency-key": "k"}
    with nothing_changes(cinema):
        for path in ("/v1/orders", "/v1/refunds", "/v1/webhooks/sandbox"):
            answer = await cinema.http.post(cinema.url + path, content=chunks(), headers=headers)
            assert_problem(answer, "body_too_large")


async def test_opting_out_takes_a_boolean_and_nothing_else(cinema: Cinema) -> None:
    misfits: list[tuple[dict[str, Any], str]] = [
        ({"auto_renew": "false"}, "auto_renew"),
        ({"auto_renew": 0}, "auto_renew"),
        ({"auto_renew": None}, "auto_renew"),
        ({}, "auto_renew"),
        ({"auto_renew": False, "status": "canceled"}, "status"),
        ({"auto_renew": False, "period_end": "2099-01-01T00:00:00Z"}, "period_end"),
    ]
    for body, place in misfits:
        answer = await cinema.call("PATCH", "/v1/subscriptions/sub_x", body)
        assert [error["at"] for error in assert_problem(answer, "body_invalid")["errors"]] == [place]
