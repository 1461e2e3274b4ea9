"""Idempotency-Key over HTTP: what is a key, whose it is, and what it repeats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
import redis

from tests.kit.answers import assert_problem, nothing_changes, order_body
from tests.kit.cinema import RETURN_URL, Cinema

MALFORMED = [b'"half', b'half"', b"two words", b'""', b'"' + b"k" * 256 + b'"', b"k" * 256, b'"\xc3\xa9"', b"\xc3\xa9",
             b'"a"b"', b'"a\\b"', b"back\\slash", b'"tab\there"']  # fmt: skip


async def order(
    cinema: Cinema, key: bytes | str, customer: str = "ann", price_id: str = "prc_metropolis_buy"
) -> httpx.Response:
    raw = key if isinstance(key, bytes) else key.encode()
    headers = {b"authorization": f"Bearer {cinema.token(customer)}".encode(), b"idempotency-key": raw}
    return await cinema.http.post(cinema.url + "/v1/orders", json=order_body(price_id), headers=headers)


async def test_money_is_not_moved_without_a_key(cinema: Cinema) -> None:
    bodies = {"/v1/orders": order_body(), "/v1/refunds": {"order_id": "ord_x", "reason": "r"}}
    with nothing_changes(cinema):
        for path, body in bodies.items():
            for headers in ({}, {"idempotency-key": ""}):
                answer = await cinema.call("POST", path, body, key="", headers=headers)
                assert_problem(answer, "idempotency_key_missing")


async def test_a_key_that_cannot_be_read_is_refused(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for key in MALFORMED:
            answer = await order(cinema, key)
            assert answer.status_code == 400, f"{key!r}: {answer.status_code} {answer.text}"
            assert_problem(answer, "idempotency_key_malformed")


async def test_quoted_or_bare_it_is_the_same_key_and_repeats_the_same_bytes(cinema: Cinema) -> None:
    pairs = [
        ('"k-1"', "k-1"),
        ("k-2", '"k-2"'),
        ('"a\\"b"', '"a\\"b"'),
        ('"' + "k" * 255 + '"', "k" * 255),
        ('"a b"', '"a b"'),
    ]
    for made, (first, second) in enumerate(pairs, start=1):
        customer = f"customer-{made}"
        one, two = await order(cinema, first, customer), await order(cinema, second, customer)
        assert (one.status_code, two.status_code) == (201, 201), one.text
        assert one.content == two.content
        assert "idempotent-replayed" not in one.headers
        assert two.headers["idempotent-replayed"] == "true"
        assert two.headers["location"] == one.headers["location"]
        assert cinema.value("SELECT count(*) FROM orders") == made


async def flushed(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


async def kept(url: str) -> None:
    pass


@pytest.mark.parametrize("forget", [kept, flushed], ids=["redis-remembers", "redis-flushed"])
async def test_a_key_used_for_another_request_is_refused_and_the_first_stands(
    cinema: Cinema, redis_url: str, forget: Callable[[str], Awaitable[None]]
) -> None:
    first = await order(cinema, "k")
    await forget(redis_url)
    with nothing_changes(cinema):
        assert_problem(await order(cinema, "k", price_id="prc_stalker_buy"), "idempotency_key_reused")
    await forget(redis_url)
    assert (await order(cinema, "k")).content == first.content


async def test_a_key_belongs_to_one_customer(cinema: Cinema) -> None:
    anns, bobs = await order(cinema, "k"), await order(cinema, "k", customer="bob")
    assert anns.json()["id"] != bobs.json()["id"]
    assert "idempotent-replayed" not in bobs.headers


async def test_a_key_belongs_to_one_route(cinema: Cinema) -> None:
    bought = await cinema.bought("prc_metropolis_buy")
    assert (await order(cinema, "k", price_id="prc_stalker_buy")).status_code == 201
    refund = await cinema.call("POST", "/v1/refunds", {"order_id": bought["id"], "reason": "r"}, key="k")
    assert refund.status_code == 201, refund.text


async def test_the_same_request_written_differently_is_the_same_request(cinema: Cinema) -> None:
    first = await cinema.call("POST", "/v1/orders", order_body(), key="k")
    other = (
        b'{ "return_url" : "%s",\n "provider": null, "price_id":"prc_metropolis_buy" }' % RETURN_URL.encode()
    )
    second = await cinema.call("POST", "/v1/orders", other, key="k")
    assert second.content == first.content
