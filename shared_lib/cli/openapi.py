"""docs/openapi.json: OpenAPI 3.1, generated from the table of operations and the models that it names."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared_lib.contract.operations import OPERATIONS, Operation, Query
from shared_lib.contract.problems import MEDIA_TYPE, PROBLEMS
from shared_lib.contract.routes import CREATE_ORDER, Route
from shared_lib.domain.errors import Code

_SCHEMAS: Final = "#/components/schemas/"
_INTRO: Final = """\
Amounts are integers in minor units with an ISO 4217 currency; instants are ISO 8601 in UTC. Every error is problem+json
(RFC 9457) with a stable `code`, listed in docs/problems.md. A request with an Idempotency-Key may be retried: the first
answer is returned byte for byte, with `Idempotent-Replayed: true`. An object of another customer answers 404.

A frontend on another origin may call from the browser when its origin is in BOXOFFICE_RETURN_URL_ORIGINS: preflights are answered, and
`Location`, `Idempotent-Replayed`, `Retry-After` and `X-Request-Id` can be read. Send no cookies; the token is the credential.
"""

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "errors": {
            "type": "array",
            "description": "Of an invalid body: the place of each error, and what is wrong.",
            "items": {
                "type": "object",
                "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "order_id": {"type": "string", "description": "The order that the problem is about."},
        "subscriptions": {
            "type": "array",
            "description": "Of payment_method_in_use: the subscriptions that are renewed with it.",
            "items": {
                "type": "object",
                "required": ["id", "title", "renews_at"],
                "properties": {
                    "id": {"type": "string"},
                    "title": {"type": "string"},
                    "renews_at": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
        "decline_reason": {"type": ["string", "null"], "description": "Of payment_declined."},
    },
}

_KEY_HEADER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One value per request, reused in its retries; a quoted string, or bare. Kept for 72 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 257},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
}


def openapi() -> str:
    """The document's text."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.route.path][operation.route.method.lower()] = _described(operation)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Boxoffice",
            "version": "1",
            "summary": "Billing of an online cinema",
            "description": _INTRO,
        },
        "servers": [{"url": "http://127.0.0.1:8100", "description": "`make up`"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Issued by the Auth service, with the scope billing:customer or billing:operator.",
                }
            },
            "schemas": _schemas(),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _schemas() -> dict[str, Any]:
    commands = [(one.body, "validation") for one in OPERATIONS if one.body]
    views = [(model, "serialization") for one in OPERATIONS for model, _ in one.answers.values() if model]
    wanted: Any = list(dict.fromkeys([*commands, *views]))
    _, schema = models_json_schema(wanted, ref_template=_SCHEMAS + "{model}")
    return dict(sorted({**schema["$defs"], "Problem": _PROBLEM}.items()))


def _described(operation: Operation) -> dict[str, Any]:
    route = operation.route
    described: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.place],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {
            **{
                str(status): _answer(model, says, status)
                for status, (model, says) in operation.answers.items()
            },
            **_problems(operation),
        },
    }
    if operation.body:
        schema = {"$ref": _SCHEMAS + operation.body.__name__}
        content = {"application/json": {"schema": schema, "example": dict(operation.example)}}
        described["requestBody"] = {"required": True, "content": content}
    # Any one of them is enough.
    described["security"] = [{"bearer": [str(scope)]} for scope in sorted(route.scopes)]
    return described


def _operation_id(route: Route) -> str:
    words = [word.strip("{}").replace("-", "_") for word in route.segments]
    return "_".join([route.method.lower(), *words])


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    route, found = operation.route, list[dict[str, Any]]()
    if route.id_name:
        found.append({"name": route.id_name, "in": "path", "required": True, "schema": {"type": "string"}})
    found += [_query(query) for query in operation.query]
    if route.keyed:
        found.append(_KEY_HEADER)
    if route is CREATE_ORDER:
        says = "`respond-async`: answer 202 at once and ask the provider in the background."
        found.append({"name": "Prefer", "in": "header", "description": says, "schema": {"type": "string"}})
    return found


def _query(query: Query) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0, "maximum": query.at_most}
    schema = {"type": "string"} if query.at_most is None else number
    return {"name": query.name, "in": "query", "description": query.says, "schema": schema}


def _answer(model: type[BaseModel] | None, says: str, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": says}
    if model:
        answer["content"] = {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}
    if status in (201, 202):
        answer["headers"] = {
            "Location": {"schema": {"type": "string"}},
            "Idempotent-Replayed": {"schema": {"type": "string", "const": "true"}},
        }
    return answer


def _problems(operation: Operation) -> dict[str, Any]:
    """By status, with an example for each code that has it."""
    by_status: dict[int, list[Code]] = defaultdict(list)
    for code in operation.codes:
        by_status[PROBLEMS[code].status].append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": _SCHEMAS + "Problem"},
                    "examples": {str(code): {"value": _example(code)} for code in codes},
                }
            },
        }
        for status, codes in sorted(by_status.items())
    }


def _example(code: Code) -> dict[str, Any]:
    status, title, _ = PROBLEMS[code]
    return {
        "type": f"urn:boxoffice:problem:{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": code,
    }
