"""A door that is stopped under load loses no request: it says that it is going before it closes anything."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.doors.load import is_going, loaded
from tests.doors.running import door_process
from tests.doors.wire import Answer, Wire
from tests.kit.cinema import Cinema
from tests.kit.waiting import PATIENCE_S, until

LONG_S = "60"  # a drain that a second signal ends before its time


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
        told = [json.loads(line) for line in door.said().splitlines() if line.startswith("{")]
        assert sum(line.get("status") == 201 for line in told) == len(load.answers)


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
