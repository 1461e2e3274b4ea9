"""Why the engine refuses a request. Each face translates a reason into its own status and error code."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    NOT_FOUND = "not_found"
    UNKNOWN_METHOD = "unknown_method"  # a charge names a saved method that does not exist
    NO_CHALLENGE = "no_challenge"
    NOT_OPEN = "not_open"
    NOT_AUTHORIZED = "not_authorized"  # there is no approval to capture or to release
    CAPTURE_TOO_LARGE = "capture_too_large"
    ALREADY_PAID = "already_paid"
    NOTHING_TO_REFUND = "nothing_to_refund"
    REFUND_TOO_LARGE = "refund_too_large"
    REFUND_ENDED = "refund_ended"
    CAPTURED_ONLY_GROWS = "captured_only_grows"
    CLOCK_ONLY_FORWARD = "clock_only_forward"
    KEY_REUSED = "key_reused"


class Refused(Exception):  # noqa: N818  # a refusal is an answer
    """The request is answered with an error. Nothing was written."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
