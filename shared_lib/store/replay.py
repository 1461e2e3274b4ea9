"""Redis in front of the idempotency keys: a hint that saves time. Flushed, stopped or slow, nothing is lost.

Commands that wait at the same moment travel as one pipeline, as the coalescer does for PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# After a failure Redis is left alone for a moment: every call would pay for a timeout.
REST_S = 2.0
TIMEOUT_S = 0.25

log = structlog.get_logger(__name__)

Command = tuple[str, Sequence[Any]]


class ReplayCache:
    """`claim` and `keep` answer None when Redis cannot help; PostgreSQL decides then, as it does anyway."""

    def __init__(self, url: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._redis: Redis | None = None
        self._clock = clock
        self._resting_until = 0.0
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any] | None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def claim(self, key: str, mark: bytes, lease_s: int) -> bytes | None:
        """Leave our mark if nobody did; what stood there before, or None.

        The mark must be the caller's own: an answer may get lost after the mark was made, and then it is found again.
        """
        was_set = await self._ask([("SET", (key, mark, "NX", "EX", lease_s))])
        if was_set is None or was_set[0]:
            return None
        found = await self._ask([("GET", (key,))])
        value: bytes | None = found[0] if found else None
        return None if value == mark else value

    async def keep(self, key: str, value: bytes, ttl_s: int) -> None:
        await self._ask([("SET", (key, value, "EX", ttl_s))])

    async def drop(self, key: str) -> None:
        await self._ask([("DEL", (key,))])

    async def aclose(self) -> None:
        if self._sending:
            await self._sending
        if self._redis:
            await self._redis.aclose()

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        if self._url is None or self._clock() < self._resting_until:
            return None
        answer: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                results = await self._pipeline([command for commands, _ in batch for command in commands])
                for commands, answer in batch:
                    own, results = (
                        (results[: len(commands)], results[len(commands) :]) if results else (None, results)
                    )
                    if not answer.done():
                        answer.set_result(own)
        finally:
            self._sending = None

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any] | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                pipeline = self._client().pipeline(transaction=False)
                for name, arguments in commands:
                    pipeline.execute_command(name, *arguments)
                return list(await pipeline.execute())
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
