"""Errors on the wire: Stripe's envelope, statuses, types and codes."""

from __future__ import annotations

from typing import Any, NamedTuple

from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason
from infra.sandbox.faces.serving import NotServed, Trouble


class Shown(NamedTuple):
    status: int = 400
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"


REFUSALS = {
    Reason.NOT_FOUND: Shown(404, "resource_missing", "id"),
    Reason.UNKNOWN_METHOD: Shown(400, "resource_missing", "payment_method"),
    Reason.NO_CHALLENGE: Shown(400, "payment_intent_unexpected_state"),
    Reason.NOT_OPEN: Shown(400),
    Reason.NOT_AUTHORIZED: Shown(400, "payment_intent_unexpected_state"),
    Reason.CAPTURE_TOO_LARGE: Shown(400, "amount_too_large", "amount_to_capture"),
    Reason.ALREADY_PAID: Shown(400, "payment_intent_unexpected_state"),
    Reason.NOTHING_TO_REFUND: Shown(400, "charge_already_refunded"),
    Reason.REFUND_TOO_LARGE: Shown(400, None, "amount"),  # recordings differ; the stricter one has no code
    Reason.REFUND_ENDED: Shown(400),
    Reason.CAPTURED_ONLY_GROWS: Shown(400),
    Reason.CLOCK_ONLY_FORWARD: Shown(400),
    Reason.KEY_REUSED: Shown(400, None, None, "idempotency_error"),
}
TROUBLES = {
    Trouble.BAD_CREDENTIALS: Shown(401),
    Trouble.NO_KEY: Shown(400),
    Trouble.KEY_IN_USE: Shown(409, "idempotency_key_in_use", None, "idempotency_error"),
    Trouble.INVALID: Shown(400, "parameter_invalid"),
    Trouble.TOO_LARGE: Shown(413),
    Trouble.MAINTENANCE: Shown(503, None, None, "api_error"),
    Trouble.RATE_LIMITED: Shown(429, "rate_limit"),
    Trouble.INTERNAL: Shown(500, None, None, "api_error"),
}


def answer(shown: Shown, message: str, **more: Any) -> Answer:
    error = {"type": shown.type, "code": shown.code, "param": shown.param, "message": message, **more}
    return Answer(
        shown.status, {"error": {name: value for name, value in error.items() if value is not None}}
    )


def refused(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> NotServed:
    """To raise: the call ends with this error."""
    return NotServed(answer(Shown(status, code, param), message))
