"""Redis in front of the idempotency keys: a hint that saves time. Flushed, stopped or slow, nothing is lost.

Whatever else may write to Redis can write here. So what is found is either a reply that carries our seal, or a hint
that something is known, which PostgreSQL then tells. Claims that wait at the same moment, or a few turns of the event loop later, travel
as one command, as the coalescer does for PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from shared_lib.owned import owned
from shared_lib.store.batch import GATHER_TURNS

if TYPE_CHECKING:
    from redis.asyncio import Redis

# After a failure Redis is left alone for a moment: every call would pay for a timeout.
REST_S = 2.0
TIMEOUT_S = 0.25

# Longer than any reply of ours. The rest of a longer value is not read.
VALUE_BYTES_MAX = 64 * 1024
UNREADABLE = b""

# For each key its mark and the mark's seconds; what stood there before, or nil where the mark was made. A key that holds
# something else than a text (a list) is an error of its own, not of the whole command.
CLAIM = f"""
    local before = {{}}
    for n, key in ipairs(KEYS) do
        local made = redis.call('SET', key, ARGV[2 * n - 1], 'NX', 'EX', ARGV[2 * n])
        if made then
            before[n] = false
        else
            local found = redis.pcall('GETRANGE', key, 0, {VALUE_BYTES_MAX - 1})
            before[n] = type(found) == 'string' and found or ''
        end
    end
    return before
"""

# Key, mark, seconds, and what stood there before.
_Claim = tuple[str, bytes, int, "asyncio.Future[bytes | None]"]

log = structlog.get_logger(__name__)


class ReplayCache:
    """`claim` and `keep` answer None when Redis cannot help; PostgreSQL decides then, as it does anyway."""

    def __init__(self, url: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Connects with the first command."""
        self._url = url
        self._clock = clock
        self._redis: Redis | None = None
        self._resting_until = 0.0
        self._waiting: list[_Claim] = []
        self._claiming: asyncio.Task[None] | None = None

    async def claim(self, key: str, mark: bytes, lease_s: int) -> bytes | None:
        """Leave our mark where there is none. What stood there before (UNREADABLE: no text), or None."""
        before: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, mark, lease_s, before))
        if self._claiming is None:
            self._claiming = owned(self._claim_waiting(), name="redis-claims", died=self._claiming_died)
        return await before

    async def keep(self, key: str, value: bytes, ttl_s: int) -> None:
        await self._try(lambda redis: redis.set(key, value, ex=ttl_s))

    async def drop(self, key: str) -> None:
        await self._try(lambda redis: redis.delete(key))

    async def aclose(self) -> None:
        if self._claiming:
            await asyncio.wait([self._claiming])
        if self._redis:
            await self._redis.aclose()

    async def _claim_waiting(self) -> None:
        while self._waiting:
            for _ in range(GATHER_TURNS):
                await asyncio.sleep(0)
            batch, self._waiting = self._waiting, []
            found = None
            try:
                found = await self._found(batch)
            finally:  # whatever happened: a request waits for each of them
                _answer(batch, found or [None] * len(batch))
        self._claiming = None

    def _claiming_died(self, _: Exception) -> None:
        """Claims that came meanwhile are answered; the next one starts a new task."""
        waiting, self._waiting, self._claiming = self._waiting, [], None
        _answer(waiting, [None] * len(waiting))

    async def _found(self, batch: Sequence[_Claim]) -> list[bytes | None] | None:
        keys = [key for key, *_ in batch]
        marks = [argument for _, mark, lease_s, _ in batch for argument in (mark, lease_s)]
        found = await self._try(lambda redis: redis.eval(CLAIM, len(keys), *keys, *marks))
        if not isinstance(found, list) or len(found) != len(batch):
            return None
        return [value if value is None or isinstance(value, bytes) else UNREADABLE for value in found]

    async def _try(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What Redis answers, or None while it cannot help, whatever the reason."""
        if self._url is None or self._clock() < self._resting_until:
            return None
        try:
            if self._redis is None:
                self._redis = _client(self._url)
            async with asyncio.timeout(TIMEOUT_S):
                return await command(self._redis)
        except Exception as error:  # noqa: BLE001  # a bug of the client library must not fail a call either
            self._resting_until = self._clock() + REST_S
            log.warning("redis_unavailable", error=type(error).__name__)
            return None


def _answer(batch: Sequence[_Claim], found: Sequence[bytes | None]) -> None:
    for (*_, before), value in zip(batch, found, strict=True):
        if not before.done():
            before.set_result(value)


def _client(url: str) -> Redis:
    # Imported here: a door that takes no keys never asks Redis, and its library is a tenth of a door's start.
    from redis.asyncio import Redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # PostgreSQL is the second try
    )
