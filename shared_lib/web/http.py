"""The edge of HTTP, as a door needs it: who calls, what the request contains, how the reply looks. Refusals are problem+json."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared_lib.bodies import body_within
from shared_lib.domain.errors import Code, Refusal
from shared_lib.invocation import Invocation, refusal_for, valid_trace
from shared_lib.log import note
from shared_lib.replies import RefusedError, Reply, problem, refuse
from shared_lib.runtime import Runtime, runtime
from shared_lib.untrusted import UntrustedError, json_of
from shared_lib.web.auth import CUSTOMER, Principal, TokenVerifier
from shared_lib.web.headers import first_header

BODY_BYTES_MAX = 64 * 1024
URL_BYTES_MAX = 4096  # path and query; nginx.conf says the same

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

log = structlog.get_logger("boxoffice")

# A door finds all it needs of HTTP here: replies and refusals are re-exported.
__all__ = [
    "BODY_BYTES_MAX",
    "URL_BYTES_MAX",
    "RefusedError",
    "Reply",
    "authenticated",
    "body_of",
    "check_url",
    "endpoint",
    "header_of",
    "identified",
    "not_allowed",
    "note_operators_read",
    "parse",
    "path_of",
    "problem",
    "refuse",
    "request_id_of",
    "trace_of",
    "unwrap",
    "verifier",
    "whole_number",
]

Model = TypeVar("Model", bound=BaseModel)
Answer = TypeVar("Answer")


def not_allowed(*methods: str) -> RefusedError:
    """The path exists, but not with the method of this request; `methods` are those it has."""
    allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
    return RefusedError(
        Refusal(Code.METHOD_NOT_ALLOWED, f"Allowed methods: {allow}."), headers={"Allow": allow}
    )


def unwrap(answer: Answer | Refusal) -> Answer:
    """The answer of a phase. Raises RefusedError when it is a refusal."""
    if isinstance(answer, Refusal):
        raise RefusedError(answer)
    return answer


Endpoint = Callable[[Request], Awaitable[Reply]]


def endpoint(function: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a door: refusals become problems, transient errors become 503, bugs a bare 500. One log line per request."""

    @functools.wraps(function)
    async def door(request: Request) -> Response:
        request_id = request_id_of(request)
        where = {"method": request.method, "path": request.scope["path"]}
        with Invocation("request", request_id=request_id, trace=trace_of(request)) as line:
            try:
                check_url(request)
                # HEAD is GET without the body, which the server leaves out (RFC 9110, 9.3.2).
                reply = await function(request if request.method != "HEAD" else _as_get(request))
            except RefusedError as refused:
                reply = problem(refused.refusal, request_id=request_id, **refused.members)
                reply.headers |= refused.headers
                note(code=refused.refusal.code)
            except ClientDisconnect:
                reply = Reply(499)
            except Exception as error:  # noqa: BLE001  # refusal_for logs what it does not know
                reply = problem(refusal_for(error, **where), request_id=request_id)
            line |= {**where, "status": reply.status}
        response = reply.response()
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        return response

    return door


def _as_get(request: Request) -> Request:
    return Request({**request.scope, "method": "GET"}, request.receive)


def request_id_of(request: Request) -> str:
    """The caller's X-Request-Id if it is well-formed, else a new one. NGINX has the same rule."""
    given = header_of(request, b"x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def check_url(request: Request) -> None:
    """Path and query are read, matched and logged, so their length is limited. Raises RefusedError."""
    scope = request.scope
    if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > URL_BYTES_MAX:
        raise refuse(Code.URL_TOO_LONG, f"Path and query may have at most {URL_BYTES_MAX} bytes.")


def path_of(request: Request) -> list[str]:
    """The segments after /v1: ["orders", "ord_..."]. A path with a control character is not found."""
    if not request.scope["path"].isprintable():
        raise refuse(Code.NOT_FOUND, "No such path.")
    segments = [segment for segment in request.scope["path"].split("/") if segment]
    return segments[1:] if segments[:1] == ["v1"] else segments


def header_of(request: Request, name: bytes) -> str | None:
    """A header by its lower-case name, the first of that name."""
    return first_header(request.scope, name)


async def body_of(request: Request) -> bytes:
    """The raw body, up to BODY_BYTES_MAX."""
    return await body_within(BODY_BYTES_MAX, request.receive, header_of(request, b"content-length"))


async def parse(request: Request, model: type[Model]) -> Model:
    """The body as a command. Unknown fields are refused; the problem lists every error with its place."""
    raw = await body_of(request)
    try:
        command = model.model_validate_json(raw)
        json_of(raw)  # finds what the model does not see, a duplicate name for example
    except UntrustedError as error:
        detail = {"at": "", "message": str(error)}
        raise refuse(Code.BODY_INVALID, "The body is invalid; see `errors`.", errors=[detail]) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == "json_invalid" for one in found):
            raise refuse(Code.BODY_NOT_JSON, "The body is not valid JSON.") from None
        errors = [{"at": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in found]
        raise refuse(Code.BODY_INVALID, "The body is invalid; see `errors`.", errors=errors) from None
    return command


def whole_number(query: Mapping[str, Any], name: str, *, default: int, at_most: int) -> int:
    """A query parameter from 0 to `at_most`."""
    value = query.get(name, str(default))
    digits = len(str(at_most))  # int() of thousands of digits would be slow
    if not (value.isascii() and value.isdigit() and len(value) <= digits and int(value) <= at_most):
        raise refuse(Code.QUERY_INVALID, f"{name} must be an integer from 0 to {at_most}.")
    return int(value)


def trace_of(request: Request) -> str | None:
    """The caller's trace (W3C Trace Context), or None when there is none or it is malformed."""
    return valid_trace(header_of(request, b"traceparent"))


async def authenticated(request: Request, scope: str = CUSTOMER) -> Principal:
    """The caller, who must have the scope. Raises RefusedError."""
    principal = await identified(request)
    if lacking := principal.lacks(scope):
        raise RefusedError(lacking)
    return principal


async def identified(request: Request) -> Principal:
    """The caller, whatever the scopes. Raises RefusedError."""
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(sent) > 1:  # two readers could choose different ones
        raise refuse(Code.TOKEN_MALFORMED, "The request has more than one Authorization header.")
    principal = unwrap(await verifier(runtime()).verify(str(sent[0], "latin-1") if sent else None))
    note(actor=principal.customer_id, client=principal.client_id, scope=" ".join(sorted(principal.scopes)))
    return principal


def note_operators_read(object_id: str | None, belongs_to: str | None) -> None:
    """Log which object an operator read and whose it is (a customer's, or an order's); None when it was not found.

    The line names the operator as its actor, as each line of the request does.
    """
    log.info("operator_read", object=object_id, belongs_to=belongs_to)


def verifier(rt: Runtime) -> TokenVerifier:
    """The token verifier this instance keeps, with its keys and verdicts."""
    settings = rt.settings
    return rt.keep(
        "verifier",
        lambda: TokenVerifier(
            rt.http,
            jwks_url=settings.auth_jwks_url,
            issuer=settings.auth_issuer,
            audience=settings.auth_audience,
            now=rt.now,
            trusted_for=timedelta(seconds=settings.auth_keys_trusted_s),
            types=settings.auth_token_types,
        ),
    )
