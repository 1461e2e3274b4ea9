"""The JSON API over HTTP: how it reads keys and bodies, and how it writes errors."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route

from infra.sandbox.engine.core import NATIVE, Sandbox
from infra.sandbox.engine.idempotency import KEY_MAX, Answer
from infra.sandbox.engine.refusals import Refused
from infra.sandbox.faces import serving
from infra.sandbox.faces.native.errors import refusal_answer, trouble_answer
from infra.sandbox.faces.native.operations import OPERATIONS
from infra.sandbox.faces.serving import NotServed, Trouble


class NativeDialect:
    """Implements Dialect."""

    face = NATIVE

    def authentic(self, sandbox: Sandbox, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(key.encode(), sandbox.config.api_key.encode())
        return scheme.lower() == "bearer" and right

    def key_of(self, request: Request) -> str | None:
        if request.method != "POST":
            return None
        key = request.headers.get("idempotency-key", "")
        if not 1 <= len(key) <= KEY_MAX:
            message = f"Send an Idempotency-Key of 1 to {KEY_MAX} characters."
            raise NotServed(self.trouble(Trouble.NO_KEY, message))
        return key

    def metadata_of(self, raw: bytes) -> Mapping[str, object]:
        try:
            metadata = json.loads(raw or b"{}").get("metadata", {})
        except (ValueError, AttributeError):
            return {}
        return metadata if isinstance(metadata, dict) else {}

    def parse(self, accepts: type[BaseModel], raw: bytes) -> BaseModel:
        return accepts.model_validate_json(raw or b"{}")

    def trouble(
        self,
        what: Trouble,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int = 0,  # noqa: ARG002  # a header says it
    ) -> Answer:
        return trouble_answer(what, message, param)

    def refusal(self, refused: Refused) -> Answer:
        return refusal_answer(refused)


def routes() -> list[Route]:
    return serving.routes(NativeDialect(), OPERATIONS)
