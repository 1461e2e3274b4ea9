"""What each call may be answered with: the replies of docs/openapi.json, their headers, and their problems with examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from shared_lib.contract.formats import id_schema
from shared_lib.contract.operations import Operation
from shared_lib.contract.problems import GATEWAY_PROBLEMS, MEDIA_TYPE, PROBLEMS, UNAVAILABLE_AT
from shared_lib.contract.views import View
from shared_lib.domain.errors import Code

SCHEMAS: Final = "#/components/schemas/"
_HEADERS: Final = "#/components/headers/"

HEADERS: Final[dict[str, Any]] = {
    "Location": {
        "description": "The path of what was created.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Idempotent-Replayed": {
        "description": "The key was used before: this is the first answer again.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {
        "description": "Seconds after which the call may be repeated.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Allow": {"description": "The methods that the path has.", "schema": {"type": "string"}},
    "X-Request-Id": {
        "description": "The id of the call in our logs: yours, if you sent one of 8 to 64 characters.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
    },
    "Access-Control-Allow-Origin": {
        "description": "Of a call from an origin of BOXOFFICE_RETURN_URL_ORIGINS: that origin. Of NGINX's own problems: `*`.",
        "schema": {"type": "string"},
    },
    "Access-Control-Expose-Headers": {
        "description": "With Access-Control-Allow-Origin: the headers that a script may read.",
        "schema": {"type": "string"},
    },
}
_ALWAYS: Final = ("X-Request-Id", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
_NOT_ALLOWED: Final = "MethodNotAllowed"
_RETRIED: Final = frozenset({409, 429, 502, 503, 504})

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted({*PROBLEMS, *GATEWAY_PROBLEMS})},
        "errors": {
            "type": "array",
            "description": "Of an invalid body: the place of each error, and what is wrong.",
            "items": {
                "type": "object",
                "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "order_id": {**id_schema("ord"), "description": "The order that the problem is about."},
        "subscriptions": {
            "type": "array",
            "description": "Of payment_method_in_use: the subscriptions that are renewed with it.",
            "items": {
                "type": "object",
                "required": ["id", "title", "renews_at"],
                "properties": {
                    "id": id_schema("sub"),
                    "title": {"type": "string"},
                    "renews_at": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
        "decline_reason": {"type": ["string", "null"], "description": "Of payment_declined."},
        "request_id": {"type": "string", "description": "Of NGINX's problems: as X-Request-Id."},
    },
}


def replies(operation: Operation) -> dict[str, Any]:
    """By status: the answers of the call, its refusals, what NGINX may answer instead of a door, and the answer to another method."""
    refused: dict[int, list[str]] = defaultdict(list)
    for code in operation.codes:
        refused[PROBLEMS[code].status].append(code)
    answers = {status: _answer(view, says, status) for status, (view, says) in operation.answers.items()}
    problems = {
        status: _problem(status, dict.fromkeys([*refused[status], *_BY_GATEWAY.get(status, ())]))
        if status in refused
        else {"$ref": f"#/components/responses/Gateway{status}"}
        for status in sorted({*refused, *_BY_GATEWAY})
    }
    found = answers | problems | {405: {"$ref": f"#/components/responses/{_NOT_ALLOWED}"}}
    return {str(status): found[status] for status in sorted(found)}


def shared_replies() -> dict[str, Any]:
    """#/components/responses: answers of NGINX alone, and of any path to a method that it does not have."""
    gateways = {f"Gateway{status}": _problem(status, codes) for status, codes in _BY_GATEWAY.items()}
    other_method = _problem(PROBLEMS[Code.METHOD_NOT_ALLOWED].status, [Code.METHOD_NOT_ALLOWED])
    other_method["description"] = "`method_not_allowed`: the path has other methods, which `Allow` names."
    other_method["headers"] |= _headers("Allow")
    return gateways | {_NOT_ALLOWED: other_method}


def examples() -> dict[str, Any]:
    """#/components/examples: one of each problem."""
    doors = {str(code): _example(code, one.status, one.title) for code, one in PROBLEMS.items()}
    gateway = {code: _example(code, one.status, one.title) for code, one in GATEWAY_PROBLEMS.items()}
    away, title = Code.UNAVAILABLE, PROBLEMS[Code.UNAVAILABLE].title
    elsewhere = [status for status in UNAVAILABLE_AT if status != PROBLEMS[away].status]
    return doors | gateway | {_named(away, status): _example(away, status, title) for status in elsewhere}


def _by_gateway() -> dict[int, list[str]]:
    """The codes that NGINX may answer any call with, by status."""
    codes: dict[int, list[str]] = defaultdict(list)
    for code, one in GATEWAY_PROBLEMS.items():
        codes[one.status].append(code)
    codes[PROBLEMS[Code.BODY_TOO_LARGE].status].append(Code.BODY_TOO_LARGE)
    for status in UNAVAILABLE_AT:
        codes[status].append(Code.UNAVAILABLE)
    return dict(codes)


_BY_GATEWAY: Final = _by_gateway()


def _answer(view: type[View] | None, says: str, status: int) -> dict[str, Any]:
    created = ("Location", "Idempotent-Replayed") if status in (201, 202) else ()
    answer: dict[str, Any] = {"description": says, "headers": _headers(*created, *_ALWAYS)}
    if view:
        answer["content"] = {"application/json": {"schema": {"$ref": SCHEMAS + view.__name__}}}
    return answer


def _problem(status: int, codes: Iterable[str]) -> dict[str, Any]:
    """A response with problems, one example for each code."""
    shown = {str(code): {"$ref": f"#/components/examples/{_named(code, status)}"} for code in codes}
    return {
        "description": ", ".join(f"`{code}`" for code in shown),
        "headers": _headers(*(("Retry-After",) if status in _RETRIED else ()), *_ALWAYS),
        "content": {MEDIA_TYPE: {"schema": {"$ref": SCHEMAS + "Problem"}, "examples": shown}},
    }


def _named(code: str, status: int) -> str:
    usual = GATEWAY_PROBLEMS[code] if code in GATEWAY_PROBLEMS else PROBLEMS[Code(code)]
    return str(code) if status == usual.status else f"{code}_{status}"


def _example(code: str, status: int, title: str) -> dict[str, Any]:
    problem = {
        "type": f"urn:boxoffice:problem:{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": str(code),
    }
    return {"value": problem}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": _HEADERS + name} for name in names}
