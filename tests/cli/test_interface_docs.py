"""The generated pages say what really happens: every route answers, every door is documented, every event fits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from shared_lib.cli.events_page import keys_of
from shared_lib.cli.events_schema import events_schema
from shared_lib.cli.openapi import openapi
from shared_lib.contract.events import EVERY_DATA
from shared_lib.contract.operations import OPERATIONS
from shared_lib.contract.problems import PROBLEMS
from shared_lib.contract.routes import ROUTES
from shared_lib.domain.errors import Code
from shared_lib.store.outbox import Outgoing
from shared_lib.workers.relay import Relay
from tests.kit.cinema import Cinema

ROOT = Path(__file__).parents[2]


def test_the_openapi_document_is_valid_and_names_every_route() -> None:
    document = json.loads(openapi())
    validate(document)
    described = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_code_has_a_status_and_a_next_step() -> None:
    assert set(PROBLEMS) == set(Code)
    assert all(one.next_step for one in PROBLEMS.values())


def test_every_code_is_promised_by_some_route() -> None:
    anywhere = {
        Code.EVENT_INVALID,
        Code.EVENT_UNPROVEN,
        Code.METHOD_NOT_ALLOWED,
    }  # of the doors' inner side, and of every path
    assert set(Code) - {code for one in OPERATIONS for code in one.codes} == anywhere


async def test_every_documented_route_is_there(cinema: Cinema) -> None:
    for operation in OPERATIONS:
        route = operation.route
        path = re.sub(r"\{provider\}", "sandbox", route.path)
        path = re.sub(r"\{\w+\}", "x_1", path)
        answer = await cinema.call(route.method, path, dict(operation.example) or None)
        allowed = {*operation.answers, *(PROBLEMS[code].status for code in operation.codes)}
        assert answer.status_code in allowed - {500, 503}, f"{route.method} {path}: {answer.text}"
        if answer.status_code == 404:
            assert answer.json()["detail"] != "No such path.", f"{route.method} {path}"
        if answer.status_code >= 400:
            assert answer.json()["code"] in operation.codes


class Recorder:
    """A sink that remembers what it hands on."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seen = inner, dict[str, list[Mapping[str, Any]]]()

    async def deliver(self, event: Outgoing) -> None:
        self.seen.setdefault(event.type, []).append(event.data)
        await self.inner.deliver(event)


async def test_the_events_of_a_customers_life_carry_what_the_page_says(cinema: Cinema) -> None:
    recorder = Recorder(cinema.relay._sink)
    cinema.relay = Relay(cinema.relay_rt, recorder)
    bought = await cinema.bought("prc_metropolis_buy")
    await cinema.bought("prc_basic_month")
    rented = await cinema.order("prc_stalker_rent")
    await cinema.call("POST", f"/v1/orders/{rented['id']}/cancel")
    await cinema.call("POST", "/v1/refunds", {"order_id": bought["id"], "reason": "r"})
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    await cinema.call("PATCH", f"/v1/subscriptions/{subscription['id']}", {"auto_renew": False})
    await cinema.drain()
    assert len(recorder.seen) >= 10
    schemas = json.loads(events_schema())["$defs"]
    for kind, seen in recorder.seen.items():
        for data in seen:
            assert data.keys() == {*keys_of(EVERY_DATA[kind])}, kind
            Draft202012Validator(schemas[kind]).validate(data)
    assert cinema.value("SELECT count(*) FROM dead_letters") == 0
