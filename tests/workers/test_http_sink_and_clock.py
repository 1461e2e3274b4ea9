from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from infra.sandbox.launch import new_webhook_secret
from infra.servers.ports import free_port
from shared_lib.events.proof import EventSigner
from shared_lib.store.outbox import Outgoing
from shared_lib.workers import clock
from shared_lib.workers.http_sink import HttpSink, to_doors
from shared_lib.workers.sink import NeverError, NotNowError
from tests.kit.cinema import EVENT_SECRET
from tests.kit.runtime_fixtures import OpenRuntime
from tests.kit.serving import serving
from tests.kit.waiting import PATIENCE_S

SIGNER = EventSigner([new_webhook_secret()], partial(datetime.now, UTC))

EVENT = Outgoing(
    row_id=1,
    event_id="evt_1",
    topic="billing.events",
    type="billing.order.paid",
    subject="ord_1",
    sequence=3,
    partition_key="ann",
    data={"title": "Сталкер"},
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    created_at=datetime(2031, 1, 1, tzinfo=UTC),
    attempts=0,
)


def door(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/events", answer, methods=["POST"])])


async def delivered(status: int) -> None:
    async def answer(_: Request) -> Response:
        return PlainTextResponse("because", status)

    async with serving(door(answer)) as url, to_doors() as http:
        await HttpSink(http, {"billing.": url}, SIGNER).deliver(EVENT)


async def test_an_event_travels_as_a_binary_cloudevent(open_runtime: OpenRuntime) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def answer(request: Request) -> Response:
        seen.append((dict(request.headers), await request.body()))
        return Response(status_code=200)

    async with serving(door(answer)) as url, to_doors() as http:
        await HttpSink(http, {"billing.": url}, SIGNER).deliver(EVENT)
    headers, body = seen[0]
    attributes = {
        name: headers[f"ce-{name}"] for name in ("id", "type", "source", "partitionkey", "sequence")
    }
    assert attributes == {
        "id": "evt_1",
        "type": "billing.order.paid",
        "source": "/boxoffice",
        "partitionkey": "ann",
        "sequence": "3",
    }
    assert headers["ce-traceparent"] == EVENT.traceparent
    assert "Сталкер" in body.decode() or "\\u0421" in body.decode()


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_an_event_the_door_refuses_is_never_taken(status: int) -> None:
    with pytest.raises(NeverError, match=str(status)):
        await delivered(status)


@pytest.mark.parametrize("status", [404, 408, 409, 425, 429, 500, 502, 503])
async def test_a_door_in_trouble_is_asked_again_and_it_counts(status: int) -> None:
    with pytest.raises(NotNowError, match=str(status)) as refusal:
        await delivered(status)
    assert refusal.value.counts


async def test_a_door_that_does_not_believe_us_is_asked_until_it_does() -> None:
    with pytest.raises(NotNowError, match="401") as refusal:
        await delivered(401)
    assert not refusal.value.counts


async def test_a_door_that_is_not_there_does_not_count() -> None:
    async with to_doors() as http:
        sink = HttpSink(http, {"billing.": f"http://127.0.0.1:{free_port()}"}, SIGNER)
        with pytest.raises(NotNowError, match="no connection") as refusal:
            await sink.deliver(EVENT)
    assert not refusal.value.counts


async def test_the_longest_prefix_wins_and_what_nobody_takes_is_a_dead_letter() -> None:
    heard: list[str] = []

    async def answer(request: Request) -> Response:
        heard.append(str(request.url.path))
        return Response(status_code=200)

    app = Starlette(
        routes=[Route(f"/{name}/events", answer, methods=["POST"]) for name in ("notify", "orders")]
    )
    async with serving(app) as url, to_doors() as http:
        sink = HttpSink(http, {"billing.": f"{url}/notify", "billing.order.": f"{url}/orders"}, SIGNER)
        await sink.deliver(EVENT)
        assert heard == ["/orders/events"]
        with pytest.raises(NeverError, match="no door"):
            await HttpSink(http, {"cinema.": url}, SIGNER).deliver(EVENT)


# ---- ticks -------------------------------------------------------------------------------------------------


async def test_ticks_come_to_their_doors_and_a_slow_door_delays_its_own_only(
    open_runtime: OpenRuntime,
) -> None:
    ticks: list[str] = []
    at_once = {"most": 0, "now": 0}
    others_went_on = asyncio.Event()

    async def answer(request: Request) -> Response:
        kind = request.headers["ce-type"]
        ticks.append(kind)
        if kind == clock.TICKS[0]:
            at_once["now"] += 1
            at_once["most"] = max(at_once["most"], at_once["now"])
            await others_went_on.wait()
            at_once["now"] -= 1
        elif ticks.count(kind) >= 4:
            others_went_on.set()
        return Response(status_code=200)

    async with serving(door(answer)) as url:
        rt = await open_runtime(
            event_routes=dict.fromkeys(clock.TICKS, url), renewal_tick_s=0.02, reconcile_tick_s=0.02
        )
        stop = asyncio.Event()
        running = asyncio.create_task(clock.run(rt, stop))
        async with asyncio.timeout(PATIENCE_S):
            await others_went_on.wait()
        assert ticks.count(clock.TICKS[0]) == 1
        stop.set()
        await running
    assert at_once["most"] == 1


async def test_a_tick_nobody_took_is_lost_without_harm(open_runtime: OpenRuntime) -> None:
    async def answer(_: Request) -> Response:
        return Response(status_code=503)

    async with serving(door(answer)) as url:
        rt = await open_runtime(event_routes=dict.fromkeys(clock.TICKS, url))
        assert await clock.tick(rt, clock.TICKS[0]) is False
    rt = await open_runtime(event_routes=dict.fromkeys(clock.TICKS, f"http://127.0.0.1:{free_port()}"))
    assert await clock.tick(rt, clock.TICKS[0]) is False


@pytest.mark.parametrize("status", [200, 503])
async def test_a_cron_job_sends_one_tick_and_sees_whether_it_was_taken(status: int) -> None:
    ticks: list[str] = []

    async def answer(request: Request) -> Response:
        ticks.append(request.headers["ce-type"])
        return Response(status_code=status)

    async with serving(door(answer)) as url:
        environment = {
            "BOXOFFICE_EVENT_ROUTES": json.dumps(dict.fromkeys(clock.TICKS, url)),
            "BOXOFFICE_EVENT_SECRETS": EVENT_SECRET,
            "BOXOFFICE_SANDBOX_URL": url,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shared_lib.workers.clock", "renewal"), env=os.environ | environment
        )
        assert await process.wait() == (0 if status == 200 else 1)
    assert ticks == ["billing.tick.renewal"]


async def test_a_clock_that_is_told_to_stop_stops_between_ticks(open_runtime: OpenRuntime) -> None:
    rt = await open_runtime(
        event_routes=dict.fromkeys(clock.TICKS, f"http://127.0.0.1:{free_port()}"),
        renewal_tick_s=3600,
        reconcile_tick_s=3600,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(clock.run(rt, stop))
    await asyncio.sleep(0.2)
    stop.set()
    async with asyncio.timeout(PATIENCE_S):  # the next tick is an hour away
        await running
