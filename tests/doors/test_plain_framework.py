"""Each function under functions-framework's own command: it is the same door as in production, opened by its first request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import httpx
import pytest

from shared_lib.contract.routes import DOORS, EVENT_DOORS, EVENTS_PATH, HTTP_DOORS, SHOW_CATALOG
from shared_lib.events.gate import BYTES_MAX
from shared_lib.events.incoming import binary
from shared_lib.events.proof import event_signer
from tests.doors.load import is_going, loaded
from tests.doors.running import SERVE, DoorProcess, door_process, framework_command
from tests.doors.wire import Wire
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema
from tests.kit.waiting import PATIENCE_S, until

# A call of each door, and how it is answered: (status, code of the problem).
CALLS: Final[Mapping[str, tuple[str, str, Any, int, str | None]]] = {
    "account": ("GET", "/v1/orders", None, 200, None),
    "create_order": ("POST", "/v1/orders", order_body("prc_metropolis_buy"), 201, None),
    "refund": ("GET", "/v1/refunds/ref_none", None, 404, "not_found"),
    "subscription": ("PATCH", "/v1/subscriptions/sub_none", {"auto_renew": False}, 404, "not_found"),
    "webhook": ("POST", "/v1/webhooks/sandbox", {}, 400, "signature_invalid"),
}
EVENTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "create_order": ("billing.job.start_payment", {"payment_id": "pay_none"}),
    "notify": ("billing.order.created", {"customer_id": "ann"}),
    "playback": (
        "cinema.playback.started",
        {"customer_id": "ann", "product_id": "prd_x", "started_at": "2026-01-01T00:00:00Z"},
    ),
    "reconcile": ("billing.tick.reconcile", {}),
    "refund": ("billing.job.start_refund", {"refund_id": "ref_none"}),
    "renew": ("billing.tick.renewal", {}),
}
CHANGES_OF_AN_EVENT: Final = ("ce-type", "ce-id", "ce-source", "content-type", "webhook-signature")


async def call(cinema: Cinema, door: DoorProcess, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {cinema.token()}", "idempotency-key": "k"}
    content = None if body is None else json.dumps(body).encode()
    return await door.http.request(method, door.url + path, headers=headers, content=content)


def event(cinema: Cinema, door: str) -> tuple[dict[str, str], bytes]:
    kind, data = EVENTS[door]
    headers, body = binary(
        event_id="evt_plain",
        kind=kind,
        subject="s",
        partition_key="ann",
        time_="2030-01-01T00:00:00Z",
        data=data,
    )
    return event_signer(cinema.rt).signed(headers, body), body


def test_every_door_has_a_call_and_an_event_here() -> None:
    assert set(CALLS) == HTTP_DOORS
    assert set(EVENTS) == EVENT_DOORS


@pytest.mark.parametrize("function", DOORS)
async def test_a_door_serves_and_refuses_under_the_plain_framework_as_in_production(
    cinema: Cinema, function: str
) -> None:
    async with door_process(
        cinema.rt.settings, function, command=framework_command(function, "--asgi")
    ) as door:
        if function in CALLS:  # the first request of the process
            method, path, sent, status, code = CALLS[function]
            answer = await call(cinema, door, method, path, sent)
            assert answer.status_code == status, answer.text
            assert "x-request-id" in answer.headers
            if code:
                assert_problem(answer, code)
        for path in ("/livez", "/_/health", "/readyz", "/_/ready"):
            assert (await door.get(path)).status_code == 200
        events = door.url + (EVENTS_PATH if function in CALLS else "/")
        if function in EVENTS:
            headers, body = event(cinema, function)
            taken = await door.http.post(events, headers=headers, content=body)
            assert taken.status_code == 200, taken.text
            for name in CHANGES_OF_AN_EVENT:
                forged = headers | {name: "v1,AAAA" if name == "webhook-signature" else "billing.x"}
                assert_problem(await door.http.post(events, headers=forged, content=body), "event_unproven")
        for headers in ({}, {"ce-id": "1", "ce-type": "t", "ce-source": "/s", "ce-specversion": "1.0"}):
            assert_problem(
                await door.http.post(door.url + EVENTS_PATH, headers=headers, content=b"{}"), "event_unproven"
            )
        if function not in CALLS:
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                assert_problem(await door.http.request(method, door.url + "/"), "event_unproven")
        door.terminate()
        await door.ended()
        assert "door_closed" in door.said()
        assert "Traceback" not in door.said()


@pytest.mark.parametrize("command", [framework_command("notify"), (str(SERVE),)], ids=["plain", "served"])
async def test_a_sender_reads_the_refusal_of_its_body_while_it_still_writes(
    cinema: Cinema, command: tuple[str, ...]
) -> None:
    """Then it sends the rest, and the connection is as good as before."""
    async with door_process(cinema.rt.settings, "notify", command=command) as door:
        await until(door.ready)
        large = b"x" * (BYTES_MAX + 1)
        headers = {"content-type": "application/cloudevents+json"}
        signed = event_signer(cinema.rt).signed(headers, large)
        async with await Wire.open(door.port) as wire:
            for sent, code in ((signed, "body_too_large"), (headers, "event_unproven")):
                refused = await wire.request("POST", "/", sent, large, held_back=BYTES_MAX // 2)
                assert (refused.status, json.loads(refused.body)["code"]) in {(413, code), (401, code)}
            assert (await wire.request("GET", "/livez", {})).status == 200


async def test_the_first_requests_open_the_door_once_whichever_way_the_framework_is_started(
    cinema: Cinema,
) -> None:
    source = {"FUNCTION_TARGET": "account", "FUNCTION_SOURCE": "functions/account/main.py"}
    ways: list[tuple[tuple[str, ...], str, dict[str, str]]] = [
        (framework_command("account", "--asgi"), "PORT", {}),
        (framework_command("account"), "PORT", {}),  # the framework sees that the function is asynchronous
        (framework_command("account", "--debug"), "PORT", {}),
        (("uvicorn", "functions_framework.aio:app"), "UVICORN_PORT", source),
    ]
    for command, given, more in ways:
        async with door_process(cinema.rt.settings, "account", given=given, command=command, **more) as door:
            answers = await asyncio.gather(
                *(door.get(SHOW_CATALOG.path) for _ in range(30)), *(door.get("/readyz") for _ in range(5))
            )
            assert {answer.status_code for answer in answers} == {200}
            door.terminate()
            await door.ended()
            assert door.said().count('"door_opened"') == 1
            assert door.said().count('"door_closed"') == 1


async def test_settings_that_no_door_may_have_open_none(cinema: Cinema) -> None:
    """A door of production does not start with the sandbox provider; here the server is up already, so it refuses each call."""
    async with door_process(
        cinema.rt.settings,
        "notify",
        command=framework_command("notify"),
        BOXOFFICE_ENVIRONMENT="production",
    ) as door:
        headers, body = event(cinema, "notify")
        for _ in range(2):
            refused = await door.http.post(door.url, headers=headers, content=body)
            assert_problem(refused, "unavailable")
        assert (await door.get("/readyz")).status_code == 503
        assert (await door.get("/livez")).status_code == 200
        assert '"door_not_opened"' in door.said()
        door.terminate()
        await door.ended()


async def test_a_plain_door_that_is_stopped_under_load_answers_every_request(cinema: Cinema) -> None:
    async with door_process(
        cinema.rt.settings,
        "create_order",
        command=framework_command("create_order"),
        BOXOFFICE_DRAIN_S="8",
    ) as door:
        await until(door.ready)
        async with loaded(cinema, door) as (load, tasks):
            door.terminate()
            await until(lambda: is_going(door))
            load.door_is_known_to_go = True
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*tasks)
            async with await Wire.open(door.port) as wire:
                late = await load.order(wire)
                assert late is not None
                assert late.is_last
        assert load.lost == []
        assert {answer.status for answer in load.answers} == {201}
        assert cinema.value("SELECT count(*) FROM orders") == len(load.answers)
        await door.ended()
        assert "door_closed" in door.said()
