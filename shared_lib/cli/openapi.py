"""docs/openapi.json: OpenAPI 3.1, generated from the table of operations and the models that it names."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final, get_type_hints

from msgspec.structs import fields
from pydantic import BaseModel, ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from shared_lib.cli.openapi_replies import HEADERS, PROBLEM, SCHEMAS, examples, replies, shared_replies
from shared_lib.contract.formats import KEY_SCHEMA, PATH_PARAMETERS
from shared_lib.contract.operations import OPERATIONS, Operation, Query
from shared_lib.contract.routes import CREATE_ORDER, TAKE_WEBHOOK, Route
from shared_lib.contract.views import View

_INTRO: Final = """\
Amounts are integers in minor units with an ISO 4217 currency; instants are ISO 8601 in UTC. Every error is problem+json
(RFC 9457) with a stable `code`, listed in docs/problems.md. A request with an Idempotency-Key may be retried: the first
answer is returned byte for byte, with `Idempotent-Replayed: true`. An object of another customer answers 404.

Field names, statuses and codes are only ever added to: ignore what you do not know. NGINX answers some calls itself, with the same form of
problem and a `request_id`.

A frontend on another origin may call from the browser when its origin is in BOXOFFICE_RETURN_URL_ORIGINS. Preflights (OPTIONS with
`Origin` and `Access-Control-Request-Method`) of these origins are answered with 204, the methods and the request headers of this document;
every reply to them has `Access-Control-Allow-Origin`, and scripts can read `Location`, `Idempotent-Replayed`, `Retry-After` and
`X-Request-Id`. NGINX's own problems can be read from any origin. Send no cookies; the token is the credential. A customer's page that
does so in a few lines: examples/frontend.
"""

_KEY_HEADER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One value per request, reused in its retries; a quoted string, or bare. Kept for 72 hours.",
    "schema": KEY_SCHEMA,
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
            "examples": examples(),
            "headers": HEADERS,
            "responses": shared_replies(),
            "schemas": _schemas(),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _schemas() -> dict[str, Any]:
    commands = [(one.body, "validation") for one in OPERATIONS if one.body]
    models = _models_of_views()
    shown = [view for one in OPERATIONS for view, _ in one.answers.values() if view]
    views = [(models[view.__name__], "serialization") for view in shown]
    wanted: Any = list(dict.fromkeys([*commands, *views]))
    _, schema = models_json_schema(wanted, ref_template=SCHEMAS + "{model}")
    found = {**schema["$defs"], "Problem": PROBLEM}
    return {name: _without_null_defaults(found[name]) for name in sorted(found)}


def _models_of_views() -> dict[str, type[BaseModel]]:
    """A model for each view, by its name: Pydantic writes schemas of models, and reads what `Annotated` says about a field."""
    config = ConfigDict(json_schema_serialization_defaults_required=True)
    models: dict[str, type[BaseModel]] = {}
    for view in View.__subclasses__():  # in the order of their definition: a view's parts stand before it
        # Annotations are text, in which the names of other views mean their models here.
        hints = get_type_hints(view, localns=models, include_extras=True)
        parts: dict[str, Any] = {
            field.name: (hints[field.name], ... if field.required else field.default)
            for field in fields(view)
        }
        models[view.__name__] = create_model(view.__name__, __config__=config, __doc__=view.__doc__, **parts)
    return models


def _without_null_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Generators give a field with a default a value, and ask for it in types: a field that may be null may be left out instead."""
    for field in schema.get("properties", {}).values():
        if field.get("default", field) is None:
            del field["default"]
    return schema


def _described(operation: Operation) -> dict[str, Any]:
    route = operation.route
    described: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.place],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": replies(operation),
    }
    if operation.body:
        schema = {"$ref": SCHEMAS + operation.body.__name__}
        content = {"application/json": {"schema": schema, "example": dict(operation.example)}}
        described["requestBody"] = {"required": True, "content": content}
    elif route is TAKE_WEBHOOK:
        says = "As the provider sends it. The signature stands in headers of the provider's own."
        content = {"application/json": {"schema": {"type": "object"}}}
        described["requestBody"] = {"required": True, "description": says, "content": content}
    # Any one of them is enough.
    described["security"] = [{"bearer": [str(scope)]} for scope in sorted(route.scopes)]
    return described


def _operation_id(route: Route) -> str:
    words = [word.strip("{}").replace("-", "_") for word in route.segments]
    return "_".join([route.method.lower(), *words])


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    route, found = operation.route, list[dict[str, Any]]()
    if route.id_name:
        schema = PATH_PARAMETERS[route.id_name]
        (example,) = schema["examples"]
        found.append(
            {"name": route.id_name, "in": "path", "required": True, "schema": schema, "example": example}
        )
    found += [_query(query) for query in operation.query]
    if route.keyed:
        found.append(_KEY_HEADER)
    if route is CREATE_ORDER:
        says = "`respond-async`: answer 202 at once and ask the provider in the background."
        found.append({"name": "Prefer", "in": "header", "description": says, "schema": {"type": "string"}})
    return found


def _query(query: Query) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0, "maximum": query.at_most}
    schema = query.schema if query.at_most is None else number
    return {"name": query.name, "in": "query", "description": query.says, "schema": dict(schema)}
