"""Errors on the wire: status, type and code of each refusal."""

from __future__ import annotations

from typing import NamedTuple

from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.faces.serving import Trouble


class _Shown(NamedTuple):
    code: str
    status: int = 400
    param: str | None = None
    kind: str = "invalid_request_error"


_SHOWN = {
    Reason.NOT_FOUND: _Shown("resource_missing", 404),
    Reason.UNKNOWN_METHOD: _Shown("resource_missing", param="method_id"),
    Reason.NO_CHALLENGE: _Shown("no_challenge"),
    Reason.NOT_OPEN: _Shown("checkout_not_open"),
    Reason.NOT_AUTHORIZED: _Shown("not_authorized"),
    Reason.CAPTURE_TOO_LARGE: _Shown("amount_too_large", param="amount_minor"),
    Reason.ALREADY_PAID: _Shown("already_paid"),
    Reason.NOTHING_TO_REFUND: _Shown("not_refundable", param="payment"),
    Reason.REFUND_TOO_LARGE: _Shown("amount_too_large", param="amount_minor"),
    Reason.REFUND_ENDED: _Shown("refund_final"),
    Reason.CAPTURED_ONLY_GROWS: _Shown("captured_only_grows"),
    Reason.CLOCK_ONLY_FORWARD: _Shown("clock_only_forward"),
    Reason.KEY_REUSED: _Shown("idempotency_mismatch", kind="idempotency_error"),
}


_TROUBLES = {
    Trouble.BAD_CREDENTIALS: _Shown("invalid_api_key", 401, kind="authentication_error"),
    Trouble.NO_KEY: _Shown("idempotency_key_required"),
    Trouble.KEY_IN_USE: _Shown("idempotency_key_in_use", 409, kind="idempotency_error"),
    Trouble.INVALID: _Shown("invalid_parameter"),
    Trouble.TOO_LARGE: _Shown("body_too_large", 413),
    Trouble.MAINTENANCE: _Shown("maintenance", 503, kind="api_error"),
    Trouble.RATE_LIMITED: _Shown("rate_limited", 429, kind="rate_limit_error"),
    Trouble.INTERNAL: _Shown("internal", 500, kind="api_error"),
}


def refusal_answer(refused: Refused) -> Answer:
    """How this face answers a refusal of the engine."""
    shown = _SHOWN[refused.reason]
    return _answer(shown, refused.message, shown.param)


def trouble_answer(what: Trouble, message: str, param: str | None = None) -> Answer:
    """How this face answers a call that it does not serve."""
    return _answer(_TROUBLES[what], message, param)


def _answer(shown: _Shown, message: str, param: str | None) -> Answer:
    error = {"type": shown.kind, "code": shown.code, "message": message, "param": param}
    return Answer(shown.status, {"error": error})
