"""What a door answers: a reply, or a refusal as problem+json (RFC 9457). Used by the edge of HTTP and by the gate for events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.json import encode
from starlette.responses import Response

from shared_lib.contract.problems import MEDIA_TYPE, problem_body, status_of
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.values import Value

JSON: Final = "application/json"


@dataclass(slots=True)
class Reply:
    """A status, a body and headers; a value is written as JSON, bytes as they are."""

    status: int
    body: Value | bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON

    def response(self) -> Response:
        content = self.body if isinstance(self.body, bytes) else encode(self.body)
        return Response(content, self.status, self.headers, self.media_type if content else None)


class RefusedError(Exception):
    """Leaves a door early with a refusal; `members` extend the problem document, `headers` the reply."""

    def __init__(
        self, refusal: Refusal, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(refusal.code)
        self.refusal, self.headers, self.members = refusal, headers or {}, members


def refuse(code: Code, detail: str, **members: Any) -> RefusedError:
    """`raise refuse(Code.NOT_FOUND, "There is no such order.")`."""
    return RefusedError(Refusal(code, detail), **members)


def problem(refusal: Refusal, **members: object) -> Reply:
    """The refusal as problem+json, with the headers that its status asks for."""
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    status = status_of(refusal.code)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Reply(status, problem_body(refusal, **members), headers, MEDIA_TYPE)
