"""Errors on the wire: one envelope, six codes, the name of the wrong parameter."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.faces.serving import Trouble


class _Shown(NamedTuple):
    parameter: str | None = None
    code: str = "invalid_request"
    status: int = 400


_REFUSALS = {
    Reason.NOT_FOUND: _Shown(code="not_found", status=404),
    Reason.UNKNOWN_METHOD: _Shown("payment_method_id"),
    Reason.NO_CHALLENGE: _Shown("payment_id"),
    Reason.NOT_OPEN: _Shown("payment_id"),
    Reason.NOT_AUTHORIZED: _Shown("payment_id"),
    Reason.CAPTURE_TOO_LARGE: _Shown("amount"),
    Reason.ALREADY_PAID: _Shown("payment_id"),
    Reason.NOTHING_TO_REFUND: _Shown("payment_id"),
    Reason.REFUND_TOO_LARGE: _Shown("amount"),
    Reason.REFUND_ENDED: _Shown("refund_id"),
    Reason.CAPTURED_ONLY_GROWS: _Shown("amount"),
    Reason.CLOCK_ONLY_FORWARD: _Shown(),
    Reason.KEY_REUSED: _Shown("Idempotence-Key"),
}
_TROUBLES = {
    Trouble.BAD_CREDENTIALS: _Shown(code="invalid_credentials", status=401),
    Trouble.NO_KEY: _Shown("Idempotence-Key"),
    Trouble.INVALID: _Shown(),
    Trouble.TOO_LARGE: _Shown(),
    Trouble.MAINTENANCE: _Shown(code="internal_server_error", status=503),
    Trouble.RATE_LIMITED: _Shown(code="too_many_requests", status=429),
    Trouble.INTERNAL: _Shown(code="internal_server_error", status=500),
}
_DUPLICATED = "Idempotence key duplicated"
_WORKING = Answer(202, {"type": "processing", "description": "Repeat the request.", "retry_after": 1000})


def refusal_answer(refused: Refused) -> Answer:
    """How this face answers a refusal of the engine."""
    words = _DUPLICATED if refused.reason is Reason.KEY_REUSED else refused.message
    return _answer(_REFUSALS[refused.reason], words)


def trouble_answer(
    what: Trouble, message: str, parameter: str | None = None, retry_after_s: int = 0
) -> Answer:
    """How this face answers a call that it does not serve."""
    if what is Trouble.KEY_IN_USE:
        return _WORKING
    shown = _TROUBLES[what]
    return _answer(shown._replace(parameter=parameter or shown.parameter), message, retry_after_s)


def _answer(shown: _Shown, message: str, retry_after_s: int = 0) -> Answer:
    body: dict[str, Any] = {
        "type": "error",
        "id": str(uuid4()),
        "code": shown.code,
        "description": message,
    }
    if shown.parameter:
        body["parameter"] = shown.parameter
    if retry_after_s:
        body["retry_after"] = retry_after_s * 1000
    return Answer(shown.status, body)
