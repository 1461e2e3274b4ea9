"""Relays inside this process, and waiting for what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shared_lib.runtime import Runtime
from shared_lib.store.transaction import Transaction
from shared_lib.workers.kafka_relay import KafkaRelay
from tests.kit.outbox import waiting
from tests.kit.waiting import PATIENCE_S


@asynccontextmanager
async def running(*relays: KafkaRelay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(true: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def empty(rt: Runtime, seconds: float = PATIENCE_S) -> None:
    async def nothing_waits() -> bool:
        return await waiting(rt) == 0

    await until(nothing_waits, seconds)


async def dead(rt: Runtime) -> list[tuple[str, str, str]]:
    """(customer, reason, body) of the dead letters."""
    return await rt.read(_dead, None)


async def _dead(tx: Transaction, _: None) -> list[tuple[str, str, str]]:
    rows = await tx.fetch("SELECT partition_key, reason, convert_from(body, 'UTF8') FROM dead_letters")
    return [(row[0], row[1], row[2]) for row in rows]
