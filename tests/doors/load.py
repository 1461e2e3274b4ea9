"""Customers who order while their door is stopped.

They are like the proxies in front of a door: they keep connections, look whether one was closed before they use it again, and
send nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.doors.running import DoorProcess
from tests.doors.wire import Answer, LostError, Wire
from tests.kit.answers import order_body
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

KEPT, QUICK, NEW = 12, 16, 4  # connections
BEFORE = 60  # answers before the signal


class Load:
    """Customers who order over kept connections and over new ones."""

    def __init__(self, cinema: Cinema, door: DoorProcess) -> None:
        self._cinema, self._door = cinema, door
        self._body = json.dumps(order_body()).encode()
        self._came = 0
        self.answers: list[Answer] = []
        self.lost: list[str] = []
        self.door_is_known_to_go = False

    async def order(self, wire: Wire) -> Answer | None:
        """One more customer's order. None when it was lost."""
        self._came += 1
        headers = {"authorization": f"Bearer {self._cinema.token(f'customer-{self._came}')}"}
        headers |= {"idempotency-key": "k", "content-type": "application/json"}
        answer = await self._sent(wire, "POST", "/v1/orders", headers, self._body)
        if answer:
            self.answers.append(answer)
        return answer

    async def ask(self, wire: Wire) -> Answer | None:
        """A call that is refused at once, so that most of its time is spent on the way."""
        answer = await self._sent(wire, "GET", "/v1/orders", {}, b"")
        assert answer is None or answer.status == 405
        return answer

    async def _sent(
        self, wire: Wire, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> Answer | None:
        try:
            return await wire.request(method, path, headers, body)
        except LostError as lost:
            self.lost.append(str(lost))
            return None

    async def over_a_kept_connection(self, sent: Callable[[Wire], Awaitable[Answer | None]]) -> None:
        """Until the door closes it, or says that it will."""
        async with await Wire.open(self._door.port) as wire:
            while not wire.is_closed:
                answer = await sent(wire)
                if answer is None or answer.is_last:
                    return

    async def over_new_connections(self) -> None:
        """Until the door is known to go, as endpoints of a Service are."""
        while not self.door_is_known_to_go:
            try:
                wire = await Wire.open(self._door.port)
            except OSError:
                return
            async with wire:
                if await self.order(wire) is None:
                    return

    async def enough(self) -> bool:
        return len(self.answers) >= BEFORE


@asynccontextmanager
async def loaded(cinema: Cinema, door: DoorProcess) -> AsyncIterator[tuple[Load, list[asyncio.Task[None]]]]:
    load = Load(cinema, door)
    tasks = [asyncio.create_task(load.over_a_kept_connection(load.order)) for _ in range(KEPT)]
    tasks += [asyncio.create_task(load.over_a_kept_connection(load.ask)) for _ in range(QUICK)]
    tasks += [asyncio.create_task(load.over_new_connections()) for _ in range(NEW)]
    try:
        await until(load.enough)
        yield load, tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def is_going(door: DoorProcess) -> bool:
    """As whatever keeps the list of endpoints sees it."""
    try:
        async with await Wire.open(door.port) as wire:
            return (await wire.request("GET", "/readyz", {})).status == 503
    except (OSError, LostError):
        return True
