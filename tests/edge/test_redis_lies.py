"""Redis holds what we never wrote at the place of a reply. It costs time, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis

from shared_lib.store.seals import Seals
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema

OLD, NEW = "0" * 32, "1" * 32
KEY = "k"

Lie = Callable[["redis.Redis"], object]


def address_of(customer: str) -> str:
    """Where Redis holds the reply to the order of that customer under the key."""
    return "boxoffice:reply:" + hashlib.sha256(f"{customer}\0POST /v1/orders\0{KEY}".encode()).hexdigest()


ADDRESS = address_of("ann")


def forged(**more: Any) -> bytes:
    """A reply in our format with content that an attacker chose."""
    reply = {
        "fingerprint": "00" * 32,
        "status": 200,
        "body": base64.b64encode(b"{}").decode(),
        "location": None,
    }
    return json.dumps(reply | more).encode()


LIES: dict[str, Lie] = {
    "garbage": lambda client: client.set(ADDRESS, b"garbage"),
    "empty": lambda client: client.set(ADDRESS, b""),
    "no JSON object": lambda client: client.set(ADDRESS, b"[1, 2]"),
    "JSON without end": lambda client: client.set(ADDRESS, b"[" * 60_000),
    "bytes of every kind": lambda client: client.set(ADDRESS, bytes(range(256))),
    "a mark of another request": lambda client: client.set(ADDRESS, b"mark_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    "a mark in JSON": lambda client: client.set(ADDRESS, b'{"owner":"req_x"}'),
    "a forged reply": lambda client: client.set(ADDRESS, forged()),
    "a forged reply under a forged seal": lambda client: client.set(ADDRESS, b"\0" * 32 + forged()),
    "a reply sealed by a secret that is not ours": lambda client: client.set(
        ADDRESS, Seals(["x" * 32]).sealed(ADDRESS, forged())
    ),
    "a reply of another place": lambda client: client.set(
        ADDRESS, Seals([NEW]).sealed("elsewhere", forged())
    ),
    "a list": lambda client: client.rpush(ADDRESS, "a", "b"),
    "a hash": lambda client: client.hset(ADDRESS, "fingerprint", "a"),
    "a huge text": lambda client: client.set(ADDRESS, b"x" * (20 << 20)),
}


@pytest.fixture(params=["sealed", "unsealed"])
async def told(request: pytest.FixtureRequest, open_cinema: OpenCinema) -> AsyncIterator[Cinema]:
    """A cinema with and without a secret to seal replies with."""
    secrets = f"{NEW},{OLD}" if request.param == "sealed" else ""
    async with open_cinema(reply_secrets=secrets) as opened:
        yield opened


async def test_before_the_first_request_a_lie_changes_nothing(told: Cinema, redis_url: str) -> None:
    for made, (name, lie) in enumerate(LIES.items(), start=1):
        customer = f"customer-{made}"
        with redis.Redis.from_url(redis_url) as client:
            lie(client)
            client.rename(ADDRESS, address_of(customer))
        answer = await told.call("POST", "/v1/orders", order_body(), key=KEY, customer=customer)
        assert answer.status_code == 201, (name, answer.text)
        assert "idempotent-replayed" not in answer.headers, name


async def test_a_repeated_request_hears_what_postgresql_kept(told: Cinema, redis_url: str) -> None:
    first = await told.call("POST", "/v1/orders", order_body(), key=KEY)
    assert first.status_code == 201, first.text
    for name, lie in LIES.items():
        with redis.Redis.from_url(redis_url) as client:
            client.delete(ADDRESS)
            lie(client)
        again = await told.call("POST", "/v1/orders", order_body(), key=KEY)
        assert (again.status_code, again.content) == (201, first.content), name
        with redis.Redis.from_url(redis_url) as client:
            client.delete(ADDRESS)
            lie(client)
        other = await told.call("POST", "/v1/orders", order_body("prc_stalker_buy"), key=KEY)
        assert_problem(other, "idempotency_key_reused")
    assert told.value("SELECT count(*) FROM orders") == 1


@pytest.mark.parametrize("told", ["sealed"], indirect=True)
async def test_a_sealed_reply_is_repeated_without_asking_postgresql(told: Cinema, redis_url: str) -> None:
    """Also while the secrets change; and it is that reply which is repeated, not one like it."""
    first = await told.call("POST", "/v1/orders", order_body(), key=KEY)
    assert (await told.call("POST", "/v1/orders", order_body(), key=KEY)).content == first.content
    with redis.Redis.from_url(redis_url) as client:
        sealed = client.get(ADDRESS)
        assert isinstance(sealed, bytes)
        reply = json.loads(Seals([NEW]).opened(ADDRESS, sealed) or b"null")
        marked = json.dumps(reply | {"body": base64.b64encode(b'"from Redis"').decode()}).encode()
        client.set(ADDRESS, Seals([OLD]).sealed(ADDRESS, marked))
    again = await told.call("POST", "/v1/orders", order_body(), key=KEY)
    assert (again.status_code, again.content) == (201, b'"from Redis"')
    other = await told.call("POST", "/v1/orders", order_body("prc_stalker_buy"), key=KEY)
    assert_problem(other, "idempotency_key_reused")
