"""Redis in front of the idempotency keys: a hint that saves time. Flushed, stopped or slow, nothing is lost.

Claims that wait at the same moment travel as one command, as the coalescer does for PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# After a failure Redis is left alone for a moment: every call would pay for a timeout.
REST_S = 2.0
TIMEOUT_S = 0.25

# For each key its mark and the mark's seconds; what stood there before, or nil where the mark was made.
_CLAIM = """
    local before = {}
    for n, key in ipairs(KEYS) do
        local made = redis.call('SET', key, ARGV[2 * n - 1], 'NX', 'EX', ARGV[2 * n])
        before[n] = not made and redis.call('GET', key)
    end
    return before
"""

log = structlog.get_logger(__name__)


class ReplayCache:
    """`claim` and `keep` answer None when Redis cannot help; PostgreSQL decides then, as it does anyway."""

    def __init__(self, url: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._redis: Redis | None = None
        self._clock = clock
        self._resting_until = 0.0
        self._waiting: list[tuple[str, bytes, int, asyncio.Future[bytes | None]]] = []
        self._claiming: asyncio.Task[None] | None = None

    async def claim(self, key: str, mark: bytes, lease_s: int) -> bytes | None:
        """Leave our mark if nobody did; what stood there before, or None."""
        before: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, mark, lease_s, before))
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._claim_waiting())
        return await before

    async def keep(self, key: str, value: bytes, ttl_s: int) -> None:
        await self._try(lambda redis: redis.set(key, value, ex=ttl_s))

    async def drop(self, key: str) -> None:
        await self._try(lambda redis: redis.delete(key))

    async def aclose(self) -> None:
        if self._claiming:
            await self._claiming
        if self._redis:
            await self._redis.aclose()

    async def _claim_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                keys = [key for key, *_ in batch]
                marks = [argument for _, mark, lease_s, _ in batch for argument in (mark, lease_s)]
                found = await self._try(lambda redis: redis.eval(_CLAIM, len(keys), *keys, *marks))  # noqa: B023
                for (*_, before), value in zip(batch, found or [None] * len(batch), strict=True):
                    if not before.done():
                        before.set_result(value)
        finally:
            self._claiming = None

    async def _try(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What Redis answers, or None while it cannot help."""
        if self._url is None or self._clock() < self._resting_until:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await command(self._client())
        except (RedisError, OSError, TimeoutError) as error:
            self._resting_until = self._clock() + REST_S
            log.warning("redis_unavailable", error=type(error).__name__)
            return None

    def _client(self) -> Redis:
        if self._redis is None:
            assert self._url is not None
            self._redis = Redis.from_url(
                self._url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),  # PostgreSQL is the second try
            )
        return self._redis
