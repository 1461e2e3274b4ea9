"""docs/openapi.json as generators and readers use it: what may be left out, how ids look, what NGINX answers, examples that work."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from shared_lib.contract.operations import OPERATIONS
from shared_lib.contract.problems import GATEWAY_PROBLEMS, UNAVAILABLE_AT
from tests.clients.tools import OPENAPI
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.cinema_fixtures import OpenCinema

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
CALLS = {(path, method): call for path, calls in DOCUMENT["paths"].items() for method, call in calls.items()}


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Schema, name and schema of each field that is a value, without the null that it may be."""
    for name, schema in SCHEMAS.items():
        for field, of in schema.get("properties", {}).items():
            for one in of.get("anyOf", [of]):
                if one.get("type") != "null":
                    yield name, field, one


def test_a_field_of_a_body_that_may_be_null_may_be_left_out() -> None:
    bodies = {operation.body.__name__: operation.body for operation in OPERATIONS if operation.body}
    for name, model in bodies.items():
        needed = {field for field, of in model.model_fields.items() if of.is_required()}
        assert set(SCHEMAS[name]["required"]) == needed, name
        # A generator takes a field with a default for one that is always there.
        assert [field for field, of in SCHEMAS[name]["properties"].items() if "default" in of] == [], name


def test_every_field_of_a_reply_is_there() -> None:
    views = {model for operation in OPERATIONS for model, _ in operation.answers.values() if model}
    for model in views:
        schema = SCHEMAS[model.__name__]
        assert set(schema["required"]) == set(schema["properties"]), model


def test_ids_links_and_instants_say_how_they_look() -> None:
    plain = ("request_id",)  # whatever NGINX or the caller chose
    for schema, name, of in fields():
        if (name == "id" or name.endswith("_id")) and name not in plain:
            assert "pattern" in of, f"{schema}.{name}"
        if name.endswith("_url"):
            assert of["format"] == "uri", f"{schema}.{name}"
        if name.endswith(("_at", "_since")) or name in ("start", "end"):
            assert of["format"] == "date-time", f"{schema}.{name}"
    for (path, method), call in CALLS.items():
        inputs = [one for one in call["parameters"] if one["in"] != "query"]
        assert all("pattern" in one["schema"] for one in inputs if one["name"] != "Prefer"), (path, method)


def test_the_pattern_of_keys_is_that_of_the_doors() -> None:
    (key,) = {
        one["schema"]["pattern"]
        for call in CALLS.values()
        for one in call["parameters"]
        if one["name"] == "Idempotency-Key"
    }
    for good in ("a", '"a b"', r'"a\"b"', "a" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324"):
        assert re.search(key, good), good
    for bad in ("", '""', "a b", 'a"b', "a" * 256, "é", '"a'):
        assert not re.search(key, bad), bad


def test_every_call_lists_what_nginx_may_answer_and_which_headers_a_script_reads() -> None:
    nginx = {one.status for one in GATEWAY_PROBLEMS.values()} | {*UNAVAILABLE_AT, 413}
    for call, described in CALLS.items():
        replies = described["responses"]
        assert {str(status) for status in nginx} <= replies.keys(), call
        for status, reply in replies.items():
            place = reply.get("$ref", "").rpartition("/")[2]
            headers = (DOCUMENT["components"]["responses"][place] if place else reply)["headers"]
            assert {"Access-Control-Allow-Origin", "X-Request-Id"} <= headers.keys(), (call, status)


async def test_another_method_is_answered_as_each_call_says(cinema: Cinema) -> None:
    shared = DOCUMENT["components"]["responses"]["MethodNotAllowed"]
    assert "Allow" in shared["headers"]
    for (path, method), described in CALLS.items():
        assert described["responses"]["405"] == {"$ref": "#/components/responses/MethodNotAllowed"}
        known = path.replace("{provider}", "sandbox")
        answer = await cinema.call("PUT", re.sub(r"\{\w+\}", "x_1", known), {})
        assert answer.json()["code"] == "method_not_allowed", (path, answer.text)
        assert (answer.status_code, method.upper() in answer.headers["allow"].split(", ")) == (405, True)


async def test_the_examples_work_on_the_sandbox(open_cinema: OpenCinema) -> None:
    """In the order of a customer's visit. Ids of answers take the place of the examples' ids."""
    local = DOCUMENT["servers"][0]["url"]
    async with open_cinema(return_url_origins=[local, RETURN_URL.removesuffix("/thanks")]) as cinema:
        order = await example(cinema, "post", "/v1/orders", 201)
        await example(cinema, "get", "/v1/orders/{order_id}", 200, order["id"])
        await cinema.pay(order["checkout_url"])
        await cinema.until(f"/v1/orders/{order['id']}", status="paid")
        refund = await example(cinema, "post", "/v1/refunds", 201, order["id"])
        await example(cinema, "get", "/v1/refunds/{refund_id}", 200, refund["id"])
        await cinema.bought("prc_basic_month")
        (subscription,) = (await example(cinema, "get", "/v1/subscriptions", 200))["items"]
        for method in ("get", "patch"):
            await example(cinema, method, "/v1/subscriptions/{subscription_id}", 200, subscription["id"])
        (saved,) = (await example(cinema, "get", "/v1/payment-methods", 200))["items"]
        await example(cinema, "delete", "/v1/payment-methods/{method_id}", 204, saved["id"])
        await example(cinema, "get", "/v1/catalog", 200)
        await example(cinema, "get", "/v1/entitlements", 200)
        await example(cinema, "get", "/v1/orders", 200)
        again = await example(cinema, "post", "/v1/orders", 201)
        await example(cinema, "post", "/v1/orders/{order_id}/cancel", 200, again["id"])


async def example(cinema: Cinema, method: str, path: str, status: int, id_: str = "") -> dict[str, Any]:
    """The answer to the call as the document shows it."""
    described = CALLS[path, method]
    body = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    if body and "order_id" in body:
        body = body | {"order_id": id_}
    shown = [one["example"] for one in described["parameters"] if one["name"] == "Idempotency-Key"]
    headers = {"idempotency-key": f'"{shown[0].strip(chr(34))}-{uuid.uuid4()}"'} if shown else {}
    answer = await cinema.call(method.upper(), re.sub(r"\{\w+\}", id_, path), body, headers=headers)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found
