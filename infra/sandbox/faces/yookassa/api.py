"""The API over HTTP: how it reads credentials, keys and bodies, and how it writes errors."""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64decode
from collections.abc import Mapping

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route

from infra.sandbox.engine.core import Sandbox
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Refused
from infra.sandbox.faces import serving
from infra.sandbox.faces.serving import NotServed, Trouble
from infra.sandbox.faces.yookassa.errors import refusal_answer, trouble_answer
from infra.sandbox.faces.yookassa.ids import FACE, SECRET_KEY_PREFIX, SHOP_ID
from infra.sandbox.faces.yookassa.operations import OPERATIONS

_KEY = re.compile(r"[0-9a-zA-Z+_.-]{1,64}")


class YooKassaDialect:
    """Implements Dialect."""

    face = FACE

    def authentic(self, sandbox: Sandbox, request: Request) -> bool:
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        try:
            given = b64decode(pair, validate=True)
        except ValueError:
            return False
        expected = f"{SHOP_ID}:{SECRET_KEY_PREFIX}{sandbox.config.api_key}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(given, expected)

    def key_of(self, request: Request) -> str | None:
        if request.method != "POST":
            return None
        key = request.headers.get("idempotence-key", "")
        if not _KEY.fullmatch(key):
            raise NotServed(self.trouble(Trouble.NO_KEY, "The header Idempotence-Key is missing or wrong."))
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
        self, what: Trouble, message: str, *, param: str | None = None, retry_after_s: int = 0
    ) -> Answer:
        return trouble_answer(what, message, param, retry_after_s)

    def refusal(self, refused: Refused) -> Answer:
        return refusal_answer(refused)


def routes() -> list[Route]:
    return serving.routes(YooKassaDialect(), OPERATIONS)
