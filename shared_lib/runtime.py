"""What an instance keeps between requests: pool, coalescer, Redis, provider clients, and the only clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, TypeVar

import httpx
import structlog
from psycopg_pool import AsyncConnectionPool

from shared_lib.domain.catalog import ProviderTerms
from shared_lib.http_client.tls import tls_context
from shared_lib.owned import beside
from shared_lib.providers.base import PaymentProvider
from shared_lib.providers.registry import make_providers
from shared_lib.settings import Environment, Settings
from shared_lib.store.batch import Batcher, Failed, connection_pool
from shared_lib.store.replay import ReplayCache
from shared_lib.store.seals import Seals
from shared_lib.store.transaction import Transaction

# Time limit for closing everything after the last answer.
CLOSE_S: Final = 5.0

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Kept = TypeVar("Kept")


# The pool of a process without a database is never opened: a phase there raises PoolClosed.
_NO_DATABASE = "postgresql://no-database.invalid/none"


class Runtime:
    """One per process, opened by the lifespan, never at import."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool: AsyncConnectionPool[Any],
        providers: dict[str, PaymentProvider],
        replays: ReplayCache,
    ) -> None:
        self.settings = settings
        self.providers = providers
        self.replays = replays
        self.seals = Seals([secret.get_secret_value() for secret in settings.reply_secrets])
        self.stopping = asyncio.Event()  # the process was asked to end, and still answers
        self._pool = pool
        self._batcher = Batcher(pool, writers=settings.writers)
        self._kept: dict[str, Any] = {}

    @classmethod
    async def open(cls, settings: Settings) -> Runtime:
        """Connect lazily: a door may start before PostgreSQL, and becomes ready after it.

        Without `database_url` there is no database: clock and trigger need none.
        """
        # First, so that wrong settings end the process before anything is open.
        providers, replays = make_providers(settings), ReplayCache(settings.redis_url)
        pool = connection_pool(
            settings.database_url or _NO_DATABASE, connections_max=settings.writers + settings.readers
        )
        if settings.database_url:
            await pool.open(wait=False)
        return cls(settings, pool=pool, providers=providers, replays=replays)

    async def aclose(self) -> None:
        """Close everything concurrently, within CLOSE_S, even if a server does not answer."""
        parts = [self.replays.aclose(), self._pool.close(timeout=CLOSE_S)]
        if "http" in self.__dict__:
            parts.append(self.http.aclose())
        parts += [provider.aclose() for provider in self.providers.values()]
        async with beside(*parts) as closing:
            done, late = await asyncio.wait(closing, timeout=CLOSE_S)
        if failed := [type(error).__name__ for task in done if (error := task.exception())]:
            log.warning("not_closed", late=len(late), errors=failed)
        elif late:
            log.warning("not_closed", late=len(late))

    @cached_property
    def http(self) -> httpx.AsyncClient:
        """For everything but providers. Made on first use: its TLS context takes 30 ms, and most doors of events need none."""
        return httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=2.0), verify=tls_context())

    async def run(
        self, phase: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]], item: Item
    ) -> Answer:
        """Commit one item of a phase, in one batch with other items waiting for it."""
        return await self._batcher.run(phase, item)

    async def run_all(
        self,
        phase: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]],
        items: Sequence[Item],
    ) -> list[Answer]:
        """Commit many items of a phase as one batch. Raises the first failed item's error; the others are committed."""
        return await self._batcher.run_all(phase, items)

    async def run_each(
        self,
        phase: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]],
        items: Sequence[Item],
    ) -> Sequence[Answer | Failed]:
        """Like `run_all`, with `Failed` at the place of each item that could not be committed."""
        return await self._batcher.run_each(phase, items)

    async def read(
        self,
        query: Callable[[Transaction, Item], Awaitable[Answer]],
        item: Item,
        *,
        within_s: float | None = None,
    ) -> Answer:
        """Run a query without locks. Raises Transient when the database takes longer than `within_s` seconds."""
        return await self._batcher.read(query, item, within_s=within_s)

    def now(self) -> datetime:
        """The only clock outside the database: for tokens, signatures and logs, never for due dates."""
        return datetime.now(UTC)

    async def clock(self) -> datetime:
        """`now`, moved by the test clock outside production."""
        if self.settings.environment is Environment.PRODUCTION:
            return self.now()
        return await self.read(_database_now, None)

    def terms(self, asked_for: str | None = None) -> list[ProviderTerms]:
        """The terms of the providers open for orders, the default provider first; or only of `asked_for`."""
        return self.keep(f"terms of {asked_for}", lambda: self._terms(asked_for))

    def _terms(self, asked_for: str | None) -> list[ProviderTerms]:
        first = asked_for or self.settings.default_provider
        others = (name for name in self.providers if name not in (first, *self.settings.providers_closed))
        names = [first] if asked_for else [first, *others]
        return [
            ProviderTerms(
                name=name,
                currencies=self.providers[name].capabilities.currencies,
                minimum_minor=self.providers[name].capabilities.minimum_minor,
            )
            for name in names
        ]

    def keep(self, name: str, make: Callable[[], Kept]) -> Kept:
        """The object with this name, made on first use and kept as long as the process lives."""
        if name not in self._kept:
            self._kept[name] = make()
        kept: Kept = self._kept[name]
        return kept


async def _database_now(tx: Transaction, _: None) -> datetime:
    return await tx.clock()


_current: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process."""
    if _current is None:
        raise RuntimeError("no runtime: a door opens one (shared_lib.web.asgi), and so does @gated")
    return _current


def install(rt: Runtime | None) -> None:
    """Make this the runtime of the process; None removes it."""
    global _current
    _current = rt
