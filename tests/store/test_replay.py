"""Marks and replies in a real Redis: the first comer wins, what travels together, and a Redis that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from redis.asyncio import Redis

from infra.servers.ports import free_port
from shared_lib.store.replay import REST_S, UNREADABLE, VALUE_BYTES_MAX, ReplayCache
from tests.kit.tasks import stop_tasks
from tests.kit.waiting import PATIENCE_S

LEASE_S = 30


@pytest.fixture
async def replays(redis_url: str) -> AsyncIterator[ReplayCache]:
    cache = ReplayCache(redis_url)
    yield cache
    await cache.aclose()


async def test_claims_that_travel_together_are_told_apart(replays: ReplayCache, redis_url: str) -> None:
    await replays.keep("kept", b"a reply", 60)
    names = [f"key-{n}" for n in range(300)]
    first = await asyncio.gather(*(replays.claim(name, b"1:" + name.encode(), LEASE_S) for name in names))
    again = await asyncio.gather(
        *(replays.claim(name, b"2:" + name.encode(), LEASE_S) for name in [*names, "kept", "new"])
    )
    assert first == [None] * 300
    assert again == [*(b"1:" + name.encode() for name in names), b"a reply", None]
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("key-7") == b"1:key-7"
        assert 0 < int(str(client.ttl("key-7"))) <= LEASE_S
        assert LEASE_S < int(str(client.ttl("kept"))) <= 60


async def test_claims_that_are_nearly_here_travel_along(replays: ReplayCache, redis_url: str) -> None:
    async def after(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await replays.claim(f"after-{turns}", b"a", LEASE_S)

    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        await asyncio.gather(*map(after, range(3)))
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == 1


async def test_of_two_who_come_together_one_makes_the_mark(replays: ReplayCache) -> None:
    found = await asyncio.gather(
        replays.claim("one", b"a", LEASE_S),
        replays.claim("one", b"b", LEASE_S),
        replays.claim("two", b"c", LEASE_S),
    )
    assert list(found) == [None, b"a", None]


async def test_a_dropped_mark_can_be_made_again(replays: ReplayCache) -> None:
    assert await replays.claim("one", b"a", LEASE_S) is None
    await replays.drop("one")
    assert await replays.claim("one", b"b", LEASE_S) is None


async def test_a_claim_that_is_given_up_leaves_the_others_their_answers(replays: ReplayCache) -> None:
    await replays.claim("warm", b"", LEASE_S)
    impatient = asyncio.create_task(replays.claim("one", b"a", LEASE_S))
    patient = asyncio.create_task(replays.claim("two", b"b", LEASE_S))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is None
    assert await replays.claim("one", b"c", LEASE_S) == b"a"


async def test_a_redis_that_is_gone_is_left_alone_for_a_moment(redis_url: str) -> None:
    now_s = 0.0
    cache = ReplayCache(f"redis://127.0.0.1:{free_port()}/0", clock=lambda: now_s)
    assert await cache.claim("one", b"a", LEASE_S) is None
    await cache.keep("one", b"a reply", 60)
    cache._redis = Redis.from_url(redis_url)
    assert await cache.claim("one", b"b", LEASE_S) is None  # not even asked
    now_s = REST_S
    assert await cache.claim("one", b"c", LEASE_S) is None
    assert await cache.claim("one", b"d", LEASE_S) == b"c"
    await cache.aclose()


async def test_without_an_address_nothing_is_known() -> None:
    cache = ReplayCache(None)
    assert await cache.claim("one", b"a", LEASE_S) is None
    assert await cache.claim("one", b"b", LEASE_S) is None
    await cache.aclose()


@pytest.mark.parametrize("fill", ["rpush", "hset", "sadd"])
async def test_a_key_that_holds_no_text_is_unreadable_and_disturbs_no_other(
    replays: ReplayCache, redis_url: str, fill: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(fill, "one", *(("a", "b") if fill == "hset" else ("a",)))
    found = await asyncio.gather(
        replays.claim("one", b"a", LEASE_S),
        replays.claim("two", b"b", LEASE_S),
        replays.claim("two", b"c", LEASE_S),
    )
    assert list(found) == [UNREADABLE, None, b"b"]


async def test_of_a_value_longer_than_any_reply_the_rest_is_not_read(
    replays: ReplayCache, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("one", b"x" * (50 << 20))
    assert await replays.claim("one", b"a", LEASE_S) == b"x" * VALUE_BYTES_MAX


async def test_whatever_goes_wrong_in_the_client_library_every_claim_is_answered(redis_url: str) -> None:
    cache = ReplayCache(redis_url, clock=lambda: 0.0)
    cache._redis = Redis.from_url(redis_url)
    cache._redis.connection_pool.connection_kwargs["no such argument"] = (
        True  # a TypeError at each connection
    )
    found = await asyncio.gather(*(cache.claim(f"key-{n}", b"a", LEASE_S) for n in range(5)))
    assert found == [None] * 5
    await cache.keep("one", b"a reply", 60)
    await cache.drop("one")
    await cache.aclose()


@pytest.mark.parametrize("turns", [1, 4], ids=["before its first step", "while Redis is asked"])
async def test_when_the_task_that_asks_redis_is_stopped_every_claim_is_answered(
    replays: ReplayCache, turns: int
) -> None:
    first = asyncio.create_task(replays.claim("one", b"a", LEASE_S))
    for _ in range(turns):
        await asyncio.sleep(0)
    second = asyncio.create_task(replays.claim("two", b"b", LEASE_S))
    await asyncio.sleep(0)
    assert stop_tasks("redis-claims") == 1
    async with asyncio.timeout(PATIENCE_S):
        assert list(await asyncio.gather(first, second)) == [None, None]
        # Redis is asked again.
        assert await replays.claim("three", b"c", LEASE_S) is None
        assert await replays.claim("three", b"d", LEASE_S) == b"c"
