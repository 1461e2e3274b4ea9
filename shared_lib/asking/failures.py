"""An error of a call to a provider: what it means for the payment or refund, and one short line that is kept with it for support."""

from __future__ import annotations

from typing import Final

import structlog

from shared_lib.billing.reports import LocalOutcome
from shared_lib.providers.base import (
    BadCredentials,
    InputRejected,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ProviderError,
    RateLimited,
    Unavailable,
)
from shared_lib.redaction import redacted
from shared_lib.visible import on_one_line

FAILURE_CHARS_MAX: Final = 200

log = structlog.get_logger("boxoffice")


def failure_of(error: ProviderError) -> str:
    """Class, code, HTTP status and message of the error, at most FAILURE_CHARS_MAX characters, with no secret, card or e-mail address.

    `Unavailable not_reached: ConnectError`; `OutcomeUnknown internal_error, HTTP 500: no answer that can be believed`.
    """
    status = f", HTTP {error.http_status}" if error.http_status else ""
    message = str(error).removeprefix(f"{error.provider}:{error.code}: ")
    return _short(f"{type(error).__name__} {error.code}{status}: {message}")


def no_answer_within(seconds: float) -> str:
    return f"no answer within {seconds:.0f} s"


def our_own(error: Exception) -> str:
    """A bug of ours: its text may hold anything, and the log has it, so its class alone is kept."""
    return _short(f"an error of our own: {type(error).__name__}; the log has it as asking_failed")


def _short(text: str) -> str:
    # An address of a person is no secret to a log, and has no place beside a payment that is kept for years.
    words = ("[address]" if "@" in word else word for word in on_one_line(redacted(text)).split(" "))
    return " ".join(words)[:FAILURE_CHARS_MAX]


def local_outcome(error: ProviderError, *, first: bool, **what: str) -> LocalOutcome:
    """An error as an outcome. Only the first send of a key can be known not to have been executed."""
    facts = {"provider": error.provider, "error": type(error).__name__, "code": error.code, **what}
    if isinstance(error, InputRejected):
        log.warning("provider_refused_input", **facts)
    elif error.pages:  # only a person can mend it
        log.error("provider_error", **facts)
    else:
        log.warning("provider_error", **facts)
    if error.may_have_executed or not first:
        return LocalOutcome.TIMED_OUT
    match error:
        case Unavailable() | RateLimited() | BadCredentials():
            return LocalOutcome.NOT_SENT  # credentials are ours to mend; the payment waits for it
        case InputRejected():
            return LocalOutcome.INPUT_REFUSED
        case InvalidRequest() | NotAllowed() | NotFound():
            return LocalOutcome.REFUSED
        case _:
            return LocalOutcome.TIMED_OUT
