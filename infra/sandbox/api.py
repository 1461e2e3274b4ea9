"""The JSON API over HTTP: who is asking, what is wrong on purpose, one execution per key, one answer."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox import faults
from infra.sandbox.core import Moment, Refused, Sandbox, new_id
from infra.sandbox.database import setting
from infra.sandbox.due import run_due
from infra.sandbox.faults import Fault, Kind
from infra.sandbox.idempotency import KEY_MAX, Answer, fingerprint, keep, kept
from infra.sandbox.operations import OPERATIONS, Call, Operation
from infra.sandbox.wire import Dropped, hang_up

BODY_MAX = 64 * 1024
_INTERNAL = Answer(
    500, {"error": {"type": "api_error", "code": "internal", "message": "Something broke here."}}
)


def routes() -> list[Route]:
    return [Route(it.path, _endpoint(it), methods=[it.method], name=it.name) for it in OPERATIONS]


def _endpoint(operation: Operation) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return await _serve(request, operation)
        except Refused as refusal:
            return _reply(Answer(refusal.status, refusal.body))
        except Dropped:
            return await hang_up(request)

    return endpoint


async def _serve(request: Request, operation: Operation) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    _check_down(sandbox)
    _check_credentials(sandbox, request)
    raw = await request.body()
    fault = _take_fault(sandbox, operation, raw)
    if fault and (refused := await _before(fault)):
        return refused
    call = _parse(operation, request, raw)
    with _in_flight(sandbox, call.key):
        if fault and fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.ms / 1000)
        answer = _execute(sandbox, operation, call, fault)
    return await _after(fault, answer)


def _execute(sandbox: Sandbox, operation: Operation, call: Call, fault: Fault | None) -> Answer:
    """One transaction: the effect and the answer kept under the key, or neither."""
    with sandbox.moment() as at:
        run_due(at)
        if call.key is None:
            return operation.run(at, call)
        if seen := kept(at, call.key, call.asked):
            return seen
        answer = _run(operation, at, call)
        if fault and fault.kind is Kind.ERROR_AFTER and fault.kept:
            answer = _INTERNAL
        keep(at, call.key, call.asked, answer)
        return answer


def _run(operation: Operation, at: Moment, call: Call) -> Answer:
    """A refusal by the operation is an answer too, and is kept like any other."""
    try:
        return operation.run(at, call)
    except Refused as refusal:
        return Answer(refusal.status, refusal.body)


# ---- what may stop a call ----------------------------------------------------------------------------------


def _check_down(sandbox: Sandbox) -> None:
    with sandbox.db.transaction() as tx:
        how = setting(tx, "down")
    if how == "drop":
        raise Dropped
    if how == "503":
        raise Refused(503, "maintenance", "Down for maintenance.", kind="api_error")


def _check_credentials(sandbox: Sandbox, request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(key.encode(), sandbox.config.api_key.encode())
    if scheme.lower() != "bearer" or not right:
        raise Refused(401, "invalid_api_key", "The API key is missing or wrong.", kind="authentication_error")


def _key(operation: Operation, request: Request) -> str | None:
    if operation.method != "POST":
        return None
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= KEY_MAX:
        raise Refused(
            400, "idempotency_key_required", f"Send an Idempotency-Key of 1 to {KEY_MAX} characters."
        )
    return key


def _parse(operation: Operation, request: Request, raw: bytes) -> Call:
    if len(raw) > BODY_MAX:
        raise Refused(413, "body_too_large", "The body is too large.")
    body = None
    if operation.accepts is not None:
        try:
            body = operation.accepts.model_validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            param = ".".join(str(part) for part in first["loc"]) or None
            raise Refused(400, "invalid_parameter", first["msg"], param=param) from None
    return Call(
        path=request.path_params,
        query=dict(request.query_params),
        body=body,
        key=_key(operation, request),
        asked=fingerprint(request.method, request.url.path, raw),
    )


@contextmanager
def _in_flight(sandbox: Sandbox, key: str | None) -> Iterator[None]:
    if key is None:
        yield
        return
    if key in sandbox.in_flight:
        raise Refused(
            409, "idempotency_key_in_use", "A call with this key is running.", kind="idempotency_error"
        )
    sandbox.in_flight.add(key)
    try:
        yield
    finally:
        sandbox.in_flight.discard(key)


# ---- trouble on order --------------------------------------------------------------------------------------


def _take_fault(sandbox: Sandbox, operation: Operation, raw: bytes) -> Fault | None:
    try:
        metadata = json.loads(raw or b"{}").get("metadata", {})
    except (ValueError, AttributeError):
        metadata = {}
    with sandbox.db.transaction() as tx:
        return faults.take(tx, operation.name, metadata if isinstance(metadata, dict) else {})


async def _before(fault: Fault) -> Response | None:
    """Trouble that keeps the call from being executed."""
    match fault.kind:
        case Kind.TIMEOUT_BEFORE:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_BEFORE:
            raise Dropped
        case Kind.ERROR_BEFORE:
            return _reply(_INTERNAL)
        case Kind.RATE_LIMITED:
            body = {
                "error": {"type": "rate_limit_error", "code": "rate_limited", "message": "Too many calls."}
            }
            return _reply(Answer(429, body), {"retry-after": str(fault.retry_after_s)})
        case _:
            return None


async def _after(fault: Fault | None, answer: Answer) -> Response:
    """Trouble that meets the answer of an executed call."""
    match fault.kind if fault else None:
        case Kind.TIMEOUT_AFTER if fault:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_AFTER:
            raise Dropped
        case Kind.ERROR_AFTER:
            return _reply(_INTERNAL)
        case Kind.GARBLED:
            return Response("<html>gateway</html>", media_type="text/html")
        case Kind.TAMPERED if fault:
            return _reply(answer._replace(body=answer.body | fault.replaced))
        case _:
            return _reply(answer)


def _reply(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    assert HTTPStatus(answer.status)
    marks = {"request-id": new_id("req"), **({"idempotent-replayed": "true"} if answer.replayed else {})}
    return JSONResponse(answer.body, answer.status, headers=marks | (headers or {}))
