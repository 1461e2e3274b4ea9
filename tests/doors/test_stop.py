"""A door that is stopped under load loses no request: it says that it is going before it closes anything.

The clients are like the proxies in front of a door: they keep connections, look whether one was closed before they use it
again, and send nothing twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.doors.running import DoorProcess, door_process
from tests.doors.wire import Answer, LostError, Wire
from tests.kit.answers import order_body
from tests.kit.cinema import Cinema
from tests.kit.waiting import PATIENCE_S, until

KEPT, QUICK, NEW = 12, 16, 4  # connections
BEFORE = 60  # answers before the signal
LONG_S = "60"  # a drain that a second signal ends before its time


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


async def test_a_door_that_is_stopped_under_load_answers_every_request(cinema: Cinema) -> None:
    async with door_process(cinema.rt.settings, "create_order", BOXOFFICE_DRAIN_S=LONG_S) as door:
        await until(door.ready)
        async with loaded(cinema, door) as (load, tasks):
            door.terminate()
            await until(lambda: is_going(door))
            load.door_is_known_to_go = True
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*tasks)
        assert load.lost == []
        # It still takes what comes late, and says each time that it is going.
        for path in ("/livez", "/_/health", "/readyz", "/_/ready"):
            async with await Wire.open(door.port) as wire:
                answer = await wire.request("GET", path, {})
                assert (answer.status, answer.is_last) == (503 if "ready" in path else 200, True)
        for _ in range(3):
            async with await Wire.open(door.port) as wire:
                late = await load.order(wire)
                assert late is not None
                assert late.is_last
        assert load.lost == []
        assert {answer.status for answer in load.answers} == {201}
        assert cinema.value("SELECT count(*) FROM orders") == len(load.answers)
        door.terminate()  # the drain is over
        await door.ended()


async def test_the_drain_ends_after_its_time(cinema: Cinema) -> None:
    async with door_process(cinema.rt.settings, "create_order", BOXOFFICE_DRAIN_S="0.5") as door:
        await until(door.ready)
        async with await Wire.open(door.port) as idle:
            door.terminate()
            await door.ended()
            async with asyncio.timeout(PATIENCE_S):
                while not idle.is_closed:  # noqa: ASYNC110  # the stream tells it no other way
                    await asyncio.sleep(0.02)


@pytest.mark.parametrize(("drain_s", "graceful_s"), [(LONG_S, "25"), ("3", "1")], ids=["long", "short"])
async def test_long_polls_are_answered_when_their_door_is_stopped(
    cinema: Cinema, drain_s: str, graceful_s: str
) -> None:
    """At once: they would last longer than the short stop."""
    order = await cinema.order("prc_metropolis_buy")
    headers = {"authorization": f"Bearer {cinema.token()}"}
    path = f"/v1/orders/{order['id']}"
    more = {"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": graceful_s, "BOXOFFICE_DRAIN_S": drain_s}
    async with door_process(cinema.rt.settings, "account", **more) as door:
        await until(door.ready)

        async def poll() -> Answer:
            async with await Wire.open(door.port) as wire:
                return await wire.request("GET", f"{path}?wait=25", headers)

        async with asyncio.timeout(PATIENCE_S):
            polls = [asyncio.create_task(poll()) for _ in range(3)]
            async with await Wire.open(door.port) as wire:
                for _ in range(10):  # by then they wait
                    assert (await wire.request("GET", path, headers)).status == 200
            door.terminate()
            found = [await task for task in polls]
            if drain_s == LONG_S:
                found.append(await poll())  # one that comes during the stop
        for answer in found:
            assert (answer.status, answer.is_last) == (200, True), answer.body
            assert json.loads(answer.body)["id"] == order["id"]
        door.terminate()
        await door.ended()
