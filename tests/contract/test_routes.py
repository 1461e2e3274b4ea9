"""One table of routes: doors serve what it says and nothing else, and gateways send each call to the door that serves it."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared_lib.contract.events import PING, PLAYBACK_STARTED
from shared_lib.contract.operations import OPERATIONS
from shared_lib.contract.routes import (
    CREATE_ORDER,
    CREATE_REFUND,
    DOORS,
    EVENT_DOORS,
    EVENT_ROUTES,
    HTTP_DOORS,
    ROUTES,
    Scope,
    door_of,
    methods_at,
)
from shared_lib.mail.render import MAILED, NOT_MAILED
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema

ROOT = Path(__file__).parents[2]


def module_of(door: str) -> ModuleType:
    return importlib.import_module(f"functions.{door}.main")


def test_each_door_is_a_folder_and_each_folder_a_door() -> None:
    assert set(DOORS) == {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}


@pytest.mark.parametrize("door", sorted(HTTP_DOORS))
def test_a_door_serves_the_calls_that_the_contract_gives_it_and_no_other(door: str) -> None:
    calls: dict[Any, Any] = module_of(door).CALLS
    assert set(calls) == {route for route in ROUTES if route.door == door}
    for route, handler in calls.items():
        ids = route.path.count("{")
        assert len(inspect.signature(handler).parameters) == 1 + ids, f"{route}: the request and {ids} ids"


@pytest.mark.parametrize("door", sorted(EVENT_DOORS))
def test_a_door_takes_the_events_that_the_contract_gives_it_and_no_other(door: str) -> None:
    given = {kind for kind, taker in EVENT_ROUTES.items() if taker == door}
    module = module_of(door)
    match door:
        case "notify":  # all facts, and its own jobs
            assert given == {"billing."}
            assert all(kind.startswith("billing.") for kind in {*MAILED, *NOT_MAILED})
        case "playback":
            assert given == {PLAYBACK_STARTED}
        case _:
            assert set(module.EVENTS) - {PING} == given


def test_no_path_is_promised_twice_and_every_call_is_described_once() -> None:
    assert len({(route.method, re.sub(r"\{\w+\}", "*", route.path)) for route in ROUTES}) == len(ROUTES)
    assert [one.route for one in OPERATIONS] == list(ROUTES)
    for operation in OPERATIONS:
        assert operation.route.path.count("{") <= 1, "OpenAPI's parameters are made for one id"


def test_the_names_in_the_table_of_idempotency_keys_stay() -> None:
    assert (str(CREATE_ORDER), str(CREATE_REFUND)) == ("POST /v1/orders", "POST /v1/refunds")
    assert {route for route in ROUTES if route.keyed} == {CREATE_ORDER, CREATE_REFUND}


def test_gateways_send_each_call_to_the_door_that_serves_it() -> None:
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "x_1", route.path)
        assert door_of(route.method, path) == route.door
        door = door_of("PUT", path)
        assert door is not None, (
            f"a wrong method of {path} is refused by NGINX, which cannot name the right ones"
        )
        assert route.place in {one.place for one in ROUTES if one.door == door}
        assert route.method in methods_at(route.segments)
    assert door_of("GET", "/v1/weather") is door_of("POST", "/events") is door_of("GET", "/v1") is None


def test_the_longest_beginning_of_an_event_type_stands_first() -> None:
    """Some senders take the first that fits, others the longest."""
    kinds = list(EVENT_ROUTES)
    for number, kind in enumerate(kinds):
        assert not any(later.startswith(kind) for later in kinds[number + 1 :])


def test_the_routes_are_cheap_to_import() -> None:
    """Gateways, generators and tests read them without pydantic and without a web framework."""
    code = (
        "import sys, shared_lib.contract.routes\n"
        "print([name for name in ('pydantic', 'starlette', 'psycopg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


async def test_a_call_is_allowed_with_the_scopes_of_the_contract_and_with_no_other(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for operation in OPERATIONS:
            route = operation.route
            path = re.sub(r"\{provider\}", "sandbox", route.path)
            path = re.sub(r"\{\w+\}", "x_1", path)
            for scope in Scope:
                body = dict.fromkeys(operation.example, "x_1") or None
                answer = await cinema.call(route.method, path, body, customer="ann", scopes=(scope,))
                if route.scopes and scope not in route.scopes:
                    assert_problem(answer, "scope_missing")
                else:
                    assert answer.status_code != 403, f"{route} with {scope}: {answer.text}"
