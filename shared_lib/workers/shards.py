"""Shards of the outbox: one relay owns each shard, as long as that relay's database session lives.

Living relays share the shards evenly: a new relay gets its part, and the others take over those of a dead one. Ownership
only saves double work: a relay that worked on another's shard would repeat events, which consumers drop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import psycopg
import structlog

from shared_lib.domain.errors import Transient
from shared_lib.store.bounds import ATTEMPT_S, bound
from shared_lib.store.outbox import SHARDS

# First half of the advisory locks' keys; the second half is the shard, or 0 for the presence of a relay.
LOCK_CLASS: Final = 7_263_002
PRESENCE_CLASS: Final = 7_263_003
# How often a relay counts the others. Each query also proves that its own session lives.
LOOK_S: Final = 0.5
PAUSE_S: Final = 1.0

log = structlog.get_logger("boxoffice")


class OutboxDrain(Protocol):
    """Sends the outbox's events of given shards to a broker or to the doors."""

    idle_s: float
    batch_max: int

    async def run_once(self, shards: Sequence[int]) -> int:
        """Start sending what is ready. Returns how many events were found. Raises Transient when the receiver is unreachable."""
        ...

    async def settle(self) -> None:
        """Wait for what is in flight, for a bounded time."""
        ...

    async def abandon(self) -> None:
        """Another relay may own the shards from now on: start nothing more, and end soon."""
        ...


async def drain_owned_shards(drain: OutboxDrain, database_url: str, stop: asyncio.Event) -> None:
    """Drain the shards we own until `stop` is set; reconnect when the session or the broker is lost."""
    while not stop.is_set():
        try:
            async with await _session(database_url) as session:
                await _drain_with(drain, Shards(session), stop)
        except (psycopg.OperationalError, Transient) as error:
            log.warning("relay_disconnected", error=str(error) or type(error).__name__)
            await drain.abandon()
            await _sleep(stop, PAUSE_S)
    await drain.settle()


async def _drain_with(drain: OutboxDrain, shards: Shards, stop: asyncio.Event) -> None:
    while not stop.is_set():
        if surplus := await shards.rebalance():
            await drain.settle()  # so that the next owner repeats nothing
            await shards.give_up(surplus)
        found = await drain.run_once(shards.mine) if shards.mine else 0
        if not found:
            await _sleep(stop, drain.idle_s)
        elif found < drain.batch_max:  # let a few events gather
            await asyncio.sleep(0.005)


class Shards:
    """The shards that one database session owns."""

    def __init__(self, session: psycopg.AsyncConnection[Any]) -> None:
        self.mine: list[int] = []
        self._session = session
        self._looked_at = -math.inf

    async def rebalance(self) -> list[int]:
        """Acquire free shards up to our part. Returns the shards we hold beyond it, for `give_up`."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return []
        await self._rows(
            "SELECT pg_advisory_lock_shared(%s, 0) WHERE NOT %s", [PRESENCE_CLASS, self._looked_at > 0]
        )
        self._looked_at = time.monotonic()
        part = math.ceil(SHARDS / await self._relays())
        if len(self.mine) < part:
            rows = await self._rows(
                "SELECT shard FROM unnest(%s::int[]) AS shard WHERE pg_try_advisory_lock(%s, shard) LIMIT %s",
                [sorted(set(range(SHARDS)) - set(self.mine)), LOCK_CLASS, part - len(self.mine)],
            )
            self.mine = sorted([*self.mine, *(row[0] for row in rows)])
        return self.mine[part:]

    async def give_up(self, surplus: Sequence[int]) -> None:
        await self._rows(
            "SELECT pg_advisory_unlock(%s, shard) FROM unnest(%s::int[]) AS shard",
            [LOCK_CLASS, list(surplus)],
        )
        self.mine = [shard for shard in self.mine if shard not in surplus]

    async def _relays(self) -> int:
        rows = await self._rows(
            """
            SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
            [PRESENCE_CLASS],
        )
        return max(1, int(rows[0][0]))

    async def _rows(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with bound(self._session, ATTEMPT_S):
            return await (await self._session.execute(sql, parameters)).fetchall()


async def _session(url: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=3, application_name="boxoffice-relay"
    )


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
