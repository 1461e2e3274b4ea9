"""What every face does with a call: credentials, scripted faults, one execution per idempotency key, one answer.

A face brings its table of operations and its Dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox.engine import faults
from infra.sandbox.engine.core import Moment, Sandbox, new_id
from infra.sandbox.engine.database import setting
from infra.sandbox.engine.due import run_due
from infra.sandbox.engine.faults import Fault, Kind
from infra.sandbox.engine.idempotency import Answer, fingerprint, save_answer, saved_answer
from infra.sandbox.engine.refusals import Refused
from infra.sandbox.faces.hangup import Dropped, hang_up

BODY_MAX = 64 * 1024


class Trouble(StrEnum):
    """Why a call is not served, whatever the engine would say. Each dialect has its own status and code for it."""

    BAD_CREDENTIALS = "bad_credentials"
    NO_KEY = "no_key"  # a call that needs an idempotency key has none, or one that is too long
    KEY_IN_USE = "key_in_use"
    INVALID = "invalid"  # the body or a parameter
    TOO_LARGE = "too_large"
    MAINTENANCE = "maintenance"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"


class NotServed(Exception):  # noqa: N818  # it is an answer
    """The call ends with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One parsed request."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None  # the operation's own body type
    key: str | None = None  # the idempotency key of a POST
    asked: str = ""  # fingerprint of the request

    @property
    def id(self) -> str:
        return self.path["id"]


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is what fault scripts refer to; `named` gives it where it depends on the body."""

    name: str
    method: str
    path: str
    run: Callable[[Moment, Call], Answer]
    accepts: type[BaseModel] | None = None
    named: Callable[[bytes], str] | None = None


class Dialect(Protocol):
    """How one face reads requests and writes errors."""

    @property
    def face(self) -> str:
        """Its name: payments and webhook endpoints belong to a face."""
        ...

    def authentic(self, sandbox: Sandbox, request: Request) -> bool: ...

    def key_of(self, request: Request) -> str | None:
        """The idempotency key; None for a call without one. Raises NotServed where it is required and wrong."""
        ...

    def metadata_of(self, raw: bytes) -> Mapping[str, object]:
        """The merchant's metadata in a body that may be anything: fault scripts match it."""
        ...

    def parse(self, accepts: type[BaseModel], raw: bytes) -> BaseModel:
        """Raises ValidationError."""
        ...

    def trouble(
        self, what: Trouble, message: str, *, param: str | None = None, retry_after_s: int = 0
    ) -> Answer: ...

    def refusal(self, refused: Refused) -> Answer:
        """How a refusal of the engine is answered."""
        ...


def routes(dialect: Dialect, operations: Sequence[Operation]) -> list[Route]:
    return [
        Route(it.path, _endpoint(dialect, it), methods=[it.method], name=f"{dialect.face}:{it.name}")
        for it in operations
    ]


def _endpoint(dialect: Dialect, operation: Operation) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return await _serve(dialect, request, operation)
        except NotServed as ended:
            return _reply(ended.answer)
        except Refused as refused:
            return _reply(dialect.refusal(refused))
        except Dropped:
            return await hang_up(request)

    return endpoint


async def _serve(dialect: Dialect, request: Request, operation: Operation) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    _check_down(dialect, sandbox)
    if not dialect.authentic(sandbox, request):
        raise NotServed(dialect.trouble(Trouble.BAD_CREDENTIALS, "The API key is missing or wrong."))
    raw = await request.body()
    name = operation.named(raw) if operation.named else operation.name
    with sandbox.db.transaction() as tx:
        fault = faults.use_next(tx, name, dialect.metadata_of(raw))
    if fault and (refused := await _before(dialect, fault)):
        return refused
    call = _parse(dialect, operation, request, raw)
    with _in_flight(dialect, sandbox, call.key):
        if fault and fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.ms / 1000)
        answer = _execute(dialect, sandbox, operation, call, fault)
    return await _after(dialect, fault, answer)


def _execute(
    dialect: Dialect, sandbox: Sandbox, operation: Operation, call: Call, fault: Fault | None
) -> Answer:
    """One transaction: the effect and the answer saved under the key, or neither."""
    with sandbox.moment(dialect.face) as at:
        run_due(at)
        if call.key is None:
            return operation.run(at, call)
        if saved := saved_answer(at, call.key, call.asked):
            return saved
        answer = _run(dialect, operation, at, call)
        if fault and fault.kind is Kind.ERROR_AFTER and fault.kept:
            answer = _internal(dialect)
        save_answer(at, call.key, call.asked, answer)
        return answer


def _run(dialect: Dialect, operation: Operation, at: Moment, call: Call) -> Answer:
    """A refusal by the operation is an answer too, and is saved under the key."""
    try:
        return operation.run(at, call)
    except Refused as refused:
        return dialect.refusal(refused)


# ---- what may stop a call ----------------------------------------------------------------------------------


def _check_down(dialect: Dialect, sandbox: Sandbox) -> None:
    with sandbox.db.transaction() as tx:
        how = setting(tx, "down")
    if how == "drop":
        raise Dropped
    if how == "503":
        raise NotServed(dialect.trouble(Trouble.MAINTENANCE, "Down for maintenance."))


def _parse(dialect: Dialect, operation: Operation, request: Request, raw: bytes) -> Call:
    if len(raw) > BODY_MAX:
        raise NotServed(dialect.trouble(Trouble.TOO_LARGE, "The body is too large."))
    body = None
    if operation.accepts is not None:
        try:
            body = dialect.parse(operation.accepts, raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            param = ".".join(str(part) for part in first["loc"]) or None
            raise NotServed(dialect.trouble(Trouble.INVALID, first["msg"], param=param)) from None
    return Call(
        path=request.path_params,
        query=dict(request.query_params),
        body=body,
        key=_key(dialect, request),
        asked=fingerprint(request.method, request.url.path, raw),
    )


def _key(dialect: Dialect, request: Request) -> str | None:
    """With the face before it: two accounts may use the same key."""
    key = dialect.key_of(request)
    return None if key is None else f"{dialect.face}:{key}"


@contextmanager
def _in_flight(dialect: Dialect, sandbox: Sandbox, key: str | None) -> Iterator[None]:
    if key is None:
        yield
        return
    if key in sandbox.in_flight:
        raise NotServed(dialect.trouble(Trouble.KEY_IN_USE, "A call with this key is running."))
    sandbox.in_flight.add(key)
    try:
        yield
    finally:
        sandbox.in_flight.discard(key)


# ---- scripted faults ---------------------------------------------------------------------------------------


async def _before(dialect: Dialect, fault: Fault) -> Response | None:
    """Faults that keep the call from being executed."""
    match fault.kind:
        case Kind.TIMEOUT_BEFORE:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_BEFORE:
            raise Dropped
        case Kind.ERROR_BEFORE:
            return _reply(_internal(dialect))
        case Kind.RATE_LIMITED:
            wait_s = fault.retry_after_s
            answer = dialect.trouble(Trouble.RATE_LIMITED, "Too many calls.", retry_after_s=wait_s)
            return _reply(answer, {"retry-after": str(wait_s)})
        case _:
            return None


async def _after(dialect: Dialect, fault: Fault | None, answer: Answer) -> Response:
    """Faults that replace or delay the answer of an executed call."""
    match fault.kind if fault else None:
        case Kind.TIMEOUT_AFTER if fault:
            await asyncio.sleep(fault.seconds)
            raise Dropped
        case Kind.DROP_AFTER:
            raise Dropped
        case Kind.ERROR_AFTER:
            return _reply(_internal(dialect))
        case Kind.GARBLED:
            return Response("<html>gateway</html>", media_type="text/html")
        case Kind.TAMPERED if fault:
            return _reply(answer._replace(body=answer.body | fault.replaced))
        case _:
            return _reply(answer)


def _internal(dialect: Dialect) -> Answer:
    return dialect.trouble(Trouble.INTERNAL, "Something broke here.")


def _reply(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    assert HTTPStatus(answer.status)
    marks = {"request-id": new_id("req"), **({"idempotent-replayed": "true"} if answer.replayed else {})}
    return JSONResponse(answer.body, answer.status, headers=marks | (headers or {}))
