"""The JSON API over HTTP: authentication, scripted faults, one execution per idempotency key, one answer."""

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

from infra.sandbox.engine import faults
from infra.sandbox.engine.core import Moment, Sandbox, new_id
from infra.sandbox.engine.database import setting
from infra.sandbox.engine.due import run_due
from infra.sandbox.engine.faults import Fault, Kind
from infra.sandbox.engine.idempotency import KEY_MAX, Answer, fingerprint, save_answer, saved_answer
from infra.sandbox.engine.refusals import Refused
from infra.sandbox.faces.hangup import Dropped, hang_up
from infra.sandbox.faces.native.errors import INTERNAL, ApiError, refusal_answer
from infra.sandbox.faces.native.operations import OPERATIONS, Call, Operation

BODY_MAX = 64 * 1024


def routes() -> list[Route]:
    return [Route(it.path, _endpoint(it), methods=[it.method], name=it.name) for it in OPERATIONS]


def _endpoint(operation: Operation) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return await _serve(request, operation)
        except ApiError as error:
            return _reply(error.answer)
        except Refused as refused:
            return _reply(refusal_answer(refused))
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
    """One transaction: the effect and the answer saved under the key, or neither."""
    with sandbox.moment() as at:
        run_due(at)
        if call.key is None:
            return operation.run(at, call)
        if saved := saved_answer(at, call.key, call.asked):
            return saved
        answer = _run(operation, at, call)
        if fault and fault.kind is Kind.ERROR_AFTER and fault.kept:
            answer = INTERNAL
        save_answer(at, call.key, call.asked, answer)
        return answer


def _run(operation: Operation, at: Moment, call: Call) -> Answer:
    """A refusal by the operation is an answer too, and is saved under the key."""
    try:
        return operation.run(at, call)
    except Refused as refused:
        return refusal_answer(refused)


# ---- what may stop a call ----------------------------------------------------------------------------------


def _check_down(sandbox: Sandbox) -> None:
    with sandbox.db.transaction() as tx:
        how = setting(tx, "down")
    if how == "drop":
        raise Dropped
    if how == "503":
        raise ApiError(503, "maintenance", "Down for maintenance.", kind="api_error")


def _check_credentials(sandbox: Sandbox, request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(key.encode(), sandbox.config.api_key.encode())
    if scheme.lower() != "bearer" or not right:
        raise ApiError(
            401, "invalid_api_key", "The API key is missing or wrong.", kind="authentication_error"
        )


def _key(operation: Operation, request: Request) -> str | None:
    if operation.method != "POST":
        return None
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= KEY_MAX:
        raise ApiError(
            400, "idempotency_key_required", f"Send an Idempotency-Key of 1 to {KEY_MAX} characters."
        )
    return key


def _parse(operation: Operation, request: Request, raw: bytes) -> Call:
    if len(raw) > BODY_MAX:
        raise ApiError(413, "body_too_large", "The body is too large.")
    body = None
    if operation.accepts is not None:
        try:
            body = operation.accepts.model_validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            param = ".".join(str(part) for part in first["loc"]) or None
            raise ApiError(400, "invalid_parameter", first["msg"], param=param) from None
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
        raise ApiError(
            409, "idempotency_key_in_use", "A call with this key is running.", kind="idempotency_error"
        )
    sandbox.in_flight.add(key)
    try:
        yield
    finally:
        sandbox.in_flight.discard(key)


# ---- scripted faults ---------------------------------------------------------------------------------------


def _take_fault(sandbox: Sandbox, operation: Operation, raw: bytes) -> Fault | None:
    try:
        metadata = json.loads(raw or b"{}").get("metadata", {})
    except (ValueError, AttributeError):
        metadata = {}
    with sandbox.db.transaction() as tx:
        return faults.use_next(tx, operation.name, metadata if isinstance(metadata, dict) else {})


async def _before(fault: Fault) -> Response | None:
    """Faults that keep the call from being executed."""
    match fault.kind:
        case Kind.TIMEOUT_BEFORE:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_BEFORE:
            raise Dropped
        case Kind.ERROR_BEFORE:
            return _reply(INTERNAL)
        case Kind.RATE_LIMITED:
            body = {
                "error": {"type": "rate_limit_error", "code": "rate_limited", "message": "Too many calls."}
            }
            return _reply(Answer(429, body), {"retry-after": str(fault.retry_after_s)})
        case _:
            return None


async def _after(fault: Fault | None, answer: Answer) -> Response:
    """Faults that replace or delay the answer of an executed call."""
    match fault.kind if fault else None:
        case Kind.TIMEOUT_AFTER if fault:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_AFTER:
            raise Dropped
        case Kind.ERROR_AFTER:
            return _reply(INTERNAL)
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
