"""Errors on the wire: status, type and code of each refusal."""

from __future__ import annotations

from typing import NamedTuple

from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason, Refused

INTERNAL = Answer(
    500, {"error": {"type": "api_error", "code": "internal", "message": "Something broke here."}}
)


class ApiError(Exception):
    """A call that cannot be served: malformed, not authenticated, during maintenance."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.answer = Answer(
            status, {"error": {"type": kind, "code": code, "message": message, "param": param}}
        )


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
    Reason.ALREADY_PAID: _Shown("already_paid"),
    Reason.NOTHING_TO_REFUND: _Shown("not_refundable", param="payment"),
    Reason.REFUND_TOO_LARGE: _Shown("amount_too_large", param="amount_minor"),
    Reason.REFUND_ENDED: _Shown("refund_final"),
    Reason.CAPTURED_ONLY_GROWS: _Shown("captured_only_grows"),
    Reason.CLOCK_ONLY_FORWARD: _Shown("clock_only_forward"),
    Reason.KEY_REUSED: _Shown("idempotency_mismatch", kind="idempotency_error"),
}


def refusal_answer(refused: Refused) -> Answer:
    """How this face answers a refusal of the engine."""
    shown = _SHOWN[refused.reason]
    error = ApiError(shown.status, shown.code, refused.message, kind=shown.kind, param=shown.param)
    return error.answer
