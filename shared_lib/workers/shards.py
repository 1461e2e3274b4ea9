"""Shards of the outbox: each is worked on by one relay, as long as that relay's database session lives.

Relays that are alive share evenly: whoever joins is given shards, whoever dies leaves them to the others. Ownership saves
double work and nothing else: a relay that worked on a shard of somebody else would repeat events, which consumers drop.
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

# First half of the advisory locks' names; the second is the shard, or 0 for "here is a relay".
LOCK_CLASS: Final = 7_263_002
PRESENCE_CLASS: Final = 7_263_003
# How often a relay looks whether others came or went. Every look also proves that its session lives.
LOOK_S: Final = 0.5
PAUSE_S: Final = 1.0

log = structlog.get_logger("boxoffice")


class Courier(Protocol):
    """Carries what is in the outbox somewhere else."""

    idle_s: float
    batch_max: int

    async def run_once(self, shards: Sequence[int]) -> int:
        """Start to carry what is ready. Returns how much was found. Raises Transient when nobody is there to take it."""
        ...

    async def settle(self) -> None:
        """Wait for what is under way, not longer than is decent."""
        ...

    async def abandon(self) -> None:
        """Somebody else may carry from now on: begin nothing more, and end soon."""
        ...


async def carry(courier: Courier, database_url: str, stop: asyncio.Event) -> None:
    """Carry until told to stop, over lost sessions and brokers."""
    while not stop.is_set():
        try:
            async with await _session(database_url) as session:
                await _carry_with(courier, Shards(session), stop)
        except (psycopg.OperationalError, Transient) as error:
            log.warning("relay_disconnected", error=str(error) or type(error).__name__)
            await courier.abandon()
            await _sleep(stop, PAUSE_S)
    await courier.settle()


async def _carry_with(courier: Courier, shards: Shards, stop: asyncio.Event) -> None:
    while not stop.is_set():
        if surplus := await shards.look():
            await courier.settle()  # so that the next owner repeats nothing
            await shards.give_up(surplus)
        found = await courier.run_once(shards.mine) if shards.mine else 0
        if not found:
            await _sleep(stop, courier.idle_s)
        elif found < courier.batch_max:  # let a few gather
            await asyncio.sleep(0.005)


class Shards:
    """Those that one database session owns."""

    def __init__(self, session: psycopg.AsyncConnection[Any]) -> None:
        self.mine: list[int] = []
        self._session = session
        self._looked_at = -math.inf

    async def look(self) -> list[int]:
        """Take shards that nobody holds, up to our part. Returns those we hold above it."""
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
