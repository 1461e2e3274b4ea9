"""The edge of HTTP: who is asking, what for, and how the answer looks. Every refusal is problem+json."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared_lib.contract.problems import MEDIA_TYPE, problem_body, status_of
from shared_lib.domain.errors import Code, Refusal, Transient, Unstorable
from shared_lib.log import begin, end, note
from shared_lib.runtime import Runtime, runtime
from shared_lib.untrusted import UntrustedError, json_of
from shared_lib.web.auth import CUSTOMER, Principal, TokenVerifier

BODY_BYTES_MAX = 64 * 1024
URL_BYTES_MAX = 4096  # path and query; nginx.conf says the same
_JSON = "application/json"
_RETRY_AFTER_S = 1

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger("boxoffice")

Model = TypeVar("Model", bound=BaseModel)
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Reply:
    """A status, a body and headers; a `BaseModel` is written as JSON, bytes as they are."""

    status: int
    body: BaseModel | bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = _JSON

    def response(self) -> Response:
        content = self.body if isinstance(self.body, bytes) else self.body.model_dump_json().encode()
        return Response(content, self.status, self.headers, self.media_type if content else None)


class RefusedError(Exception):
    """Leaves a door early with a refusal; `members` extend the problem document."""

    def __init__(
        self, refusal: Refusal, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(refusal.code)
        self.refusal, self.headers, self.members = refusal, headers or {}, members


def refuse(code: Code, detail: str, **members: Any) -> RefusedError:
    """`raise refuse(Code.NOT_FOUND, "There is no such order.")`."""
    return RefusedError(Refusal(code, detail), **members)


def not_allowed(*methods: str) -> RefusedError:
    """The path is right and the method is not: these are the ones it has."""
    allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
    return RefusedError(
        Refusal(Code.METHOD_NOT_ALLOWED, f"Allowed methods: {allow}."), headers={"Allow": allow}
    )


def granted(answer: Answer | Refusal) -> Answer:
    """The answer of a phase, or leave the door with its refusal."""
    if isinstance(answer, Refusal):
        raise RefusedError(answer)
    return answer


def problem(refusal: Refusal, **members: object) -> Reply:
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    status = status_of(refusal.code)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Reply(status, problem_body(refusal, **members), headers, MEDIA_TYPE)


Endpoint = Callable[[Request], Awaitable[Reply]]


def endpoint(function: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a door: refusals become problems, what may pass becomes 503, bugs become 500 without a word of detail.

    One canonical log line per invocation.
    """

    @functools.wraps(function)
    async def door(request: Request) -> Response:
        began, method, request_id = time.perf_counter(), request.method, request_id_of(request)
        invocation = begin(request_id=request_id, trace=trace_of(request))
        refuse_with = functools.partial(problem, request_id=request_id)
        try:
            check_url(request)
            # HEAD is GET without the body, which the server leaves out (RFC 9110, 9.3.2).
            reply = await function(request if method != "HEAD" else _as_get(request))
        except RefusedError as refused:
            reply = refuse_with(refused.refusal, **refused.members)
            reply.headers |= refused.headers
            note(code=refused.refusal.code)
        except Transient as passing:
            reply = refuse_with(Refusal(Code.UNAVAILABLE, str(passing), retry_after_s=_RETRY_AFTER_S))
        except HTTPException as refused_event:
            code = Code.UNAVAILABLE if refused_event.status_code == 503 else Code.EVENT_INVALID
            reply = refuse_with(
                Refusal(code, refused_event.detail, _RETRY_AFTER_S if code is Code.UNAVAILABLE else None)
            )
        except Unstorable:
            refusal = Refusal(Code.INPUT_UNSTORABLE, "The request contains a value that cannot be stored.")
            reply = refuse_with(refusal)
        except ClientDisconnect:
            reply = Reply(499)
        except Exception:
            log.exception("crashed", method=method, path=request.scope["path"])
            reply = refuse_with(Refusal(Code.INTERNAL, "The error has been logged. Retrying is safe."))
        log.info(
            "request",
            method=method,
            path=request.scope["path"],
            status=reply.status,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        end(invocation)
        response = reply.response()
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        return response

    return door


def _as_get(request: Request) -> Request:
    return Request({**request.scope, "method": "GET"}, request.receive)


def request_id_of(request: Request) -> str:
    """The caller's own id for the call when it looks like one, else a new one. NGINX has the same rule."""
    given = header_of(request, b"x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def check_url(request: Request) -> None:
    """Path and query are read, matched and logged: both together have an end."""
    scope = request.scope
    if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > URL_BYTES_MAX:
        raise refuse(Code.URL_TOO_LONG, f"Path and query may have at most {URL_BYTES_MAX} bytes.")


def path_of(request: Request) -> list[str]:
    """The segments after /v1: ["orders", "ord_..."]. A path with a control character leads nowhere."""
    if not request.scope["path"].isprintable():
        raise refuse(Code.NOT_FOUND, "No such path.")
    segments = [segment for segment in request.scope["path"].split("/") if segment]
    return segments[1:] if segments[:1] == ["v1"] else segments


def header_of(request: Request, name: bytes) -> str | None:
    """A header by its lower-case name. Five of them are asked for in each request: Starlette's lookup would cost more
    than reading the body.
    """
    for known, value in request.scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return None


async def body_of(request: Request) -> bytes:
    """The raw body, up to 64 KiB."""
    announced = header_of(request, b"content-length") or "0"
    if announced.isascii() and announced.isdigit() and int(announced) > BODY_BYTES_MAX:
        raise refuse(Code.BODY_TOO_LARGE, f"The body may have at most {BODY_BYTES_MAX} bytes.")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise refuse(Code.BODY_TOO_LARGE, f"The body may have at most {BODY_BYTES_MAX} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


async def parse(request: Request, model: type[Model]) -> Model:
    """The body as a command. What is not asked for is refused, with the place of every error."""
    raw = await body_of(request)
    try:
        command = model.model_validate_json(raw)
        json_of(raw)  # what the model would not notice: a name given twice, for example
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
    digits = len(str(at_most))  # a number of thousands of digits is not even read
    if not (value.isascii() and value.isdigit() and len(value) <= digits and int(value) <= at_most):
        raise refuse(Code.QUERY_INVALID, f"{name} must be an integer from 0 to {at_most}.")
    return int(value)


def trace_of(request: Request) -> str | None:
    """The caller's trace (W3C Trace Context). What is not one is not carried on: it becomes a header of our events."""
    value = header_of(request, b"traceparent")
    return value if value and _TRACEPARENT.fullmatch(value) else None


async def authenticated(request: Request, scope: str = CUSTOMER) -> Principal:
    """Who is asking, with that scope."""
    principal = await identified(request)
    if lacking := principal.lacks(scope):
        raise RefusedError(lacking)
    return principal


async def identified(request: Request) -> Principal:
    """Who is asking, whatever they may do."""
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(sent) > 1:  # two readers would choose differently
        raise refuse(Code.TOKEN_MALFORMED, "The request has more than one Authorization header.")
    principal = granted(await verifier(runtime()).verify(str(sent[0], "latin-1") if sent else None))
    note(actor=principal.customer_id, client=principal.client_id, scope=" ".join(sorted(principal.scopes)))
    return principal


def note_operators_read(object_id: str | None, belongs_to: str | None) -> None:
    """Leave a trace of what an operator looked at, and of whose it is: a customer, or an order. None: it was not found.

    The line names the operator as its actor, as each line of the call does.
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
