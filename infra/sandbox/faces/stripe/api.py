"""The API over HTTP: how it reads keys and forms, and how it writes errors."""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails
from starlette.requests import Request
from starlette.routing import Route

from infra.sandbox.engine.core import Sandbox
from infra.sandbox.engine.idempotency import KEY_MAX, Answer
from infra.sandbox.engine.refusals import Refused
from infra.sandbox.faces import serving
from infra.sandbox.faces.serving import NotServed, Trouble
from infra.sandbox.faces.stripe.errors import REFUSALS, TROUBLES, answer
from infra.sandbox.faces.stripe.forms import parsed
from infra.sandbox.faces.stripe.ids import FACE
from infra.sandbox.faces.stripe.operations import OPERATIONS


class StripeDialect:
    """Implements Dialect."""

    face = FACE

    def authentic(self, sandbox: Sandbox, request: Request) -> bool:
        """The key as a bearer token, or as the user's name of HTTP Basic."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = b64decode(given, validate=True).decode().partition(":")[0]
            except ValueError:
                return False
        right = hmac.compare_digest(given.encode(), sandbox.config.api_key.encode())
        return scheme.lower() in ("bearer", "basic") and right

    def key_of(self, request: Request) -> str | None:
        key = request.headers.get("idempotency-key")
        if request.method != "POST" or not key:
            return None
        if len(key) > KEY_MAX:
            message = f"Keys for idempotent requests can only be up to {KEY_MAX} characters long."
            raise NotServed(self.trouble(Trouble.NO_KEY, message))
        return key

    def metadata_of(self, raw: bytes) -> Mapping[str, object]:
        try:
            metadata = parsed(raw).get("metadata", {})
        except ValueError:
            return {}
        return metadata if isinstance(metadata, dict) else {}

    def parse(self, accepts: type[BaseModel], raw: bytes) -> BaseModel:
        try:
            form = parsed(raw)
        except ValueError:
            detail = InitErrorDetails(type="string_type", loc=("body",), input="")
            raise ValidationError.from_exception_data(accepts.__name__, [detail]) from None
        return accepts.model_validate(form)

    def trouble(
        self,
        what: Trouble,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int = 0,  # noqa: ARG002  # a header says it
    ) -> Answer:
        """A parameter is named in brackets: `line_items[0][quantity]`."""
        first, *rest = (param or "").split(".")
        named = first + "".join(f"[{step}]" for step in rest)
        return answer(TROUBLES[what]._replace(param=named or None), message)

    def refusal(self, refused: Refused) -> Answer:
        return answer(REFUSALS[refused.reason], refused.message)


def routes() -> list[Route]:
    return serving.routes(StripeDialect(), OPERATIONS)
