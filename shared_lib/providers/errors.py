# ruff: noqa: N818  # "except OutcomeUnknown" says it; an Error suffix would add nothing
"""Errors of a call to a provider, grouped by what the caller does next.

ProviderError
  InvalidRequest        our bug: alert, do not retry
    InputRejected       a value the customer gave: answer 422, do not retry
  BadCredentials        the key is wrong: alert
  NotAllowed            a feature is off at the provider: alert, turn it off here
  NotFound              the provider knows no such object
  IdempotencyMismatch   one key, two bodies: alert, our key derivation is wrong
  RefundRejected        business: show the reason, re-read the payment
  WebhookRejected       answer 400, do nothing
  WebhookUnreadable     signed, but not in the documented format: answer 422, alert
  AnswerMismatch        the answer contradicts the request: alert, settle nothing
  RateLimited           not executed: wait, same key
  Unavailable           not executed: wait, same key
    KeyInUse            an earlier call with this key is still running: wait, same key
  OutcomeUnknown        MAY have been executed: same key within its lifetime, else search
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar


class ProviderError(Exception):
    """A call without a usable answer. Contains codes for logs, no secret and no body."""

    retry_same_key: ClassVar[bool] = False
    may_have_executed: ClassVar[bool] = False  # money may have moved: the payment is unknown, not failed
    pages: ClassVar[bool] = False  # a person has to look

    def __init__(
        self,
        provider: str,
        code: str,
        message: str,
        *,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(f"{provider}:{code}: {message}")
        self.provider, self.code, self.http_status = provider, code, http_status
        self.request_id, self.retry_after = request_id, retry_after


class InvalidRequest(ProviderError):
    """The provider refused our request. Alert; do not retry: the same bytes fail again."""

    pages = True


class InputRejected(InvalidRequest):
    """The provider refused a value that the customer gave. Not our bug, so no alert."""

    pages = False


class BadCredentials(ProviderError):
    """401. Alert; nothing was executed; keep the work until the key is corrected."""

    pages = True


class NotAllowed(ProviderError):
    """403. The feature is off at the provider: alert, turn it off in the settings, do not retry."""

    pages = True


class NotFound(ProviderError):
    """The provider knows no such object. For an id that we have stored: wrong account, or a lost object."""


class IdempotencyMismatch(ProviderError):
    """This key was used with another body. Alert: our key derivation is wrong. Find by our id first."""

    pages = True
    may_have_executed = True


class RefundRejected(ProviderError):
    """Over-refund, too old, not refundable. Nothing was executed: show the reason, re-read the payment."""


class WebhookRejected(ProviderError):
    """Bad, missing or stale signature. Answer 400, count it, do nothing."""


class WebhookUnreadable(ProviderError):
    """Signed by the provider, but not readable or storable; the same bytes never will be. Answer 422 and alert."""

    pages = True


class AnswerMismatch(ProviderError):
    """Amount, currency or id in the answer differ from the request. Alert; settle nothing: the outcome is unknown."""

    pages = True
    may_have_executed = True


class RateLimited(ProviderError):
    """429, not executed. Wait retry_after (or back off), then send the same key."""

    retry_same_key = True


class Unavailable(ProviderError):
    """Not executed: no connection, or a read. Back off, then send the same key."""

    retry_same_key = True


class KeyInUse(Unavailable):
    """An earlier call with this key is still running. Wait, then send the same key to get its result."""

    may_have_executed = True


class OutcomeUnknown(ProviderError):
    """May have been executed. Same key within its lifetime, else find by our id. Never a new key."""

    retry_same_key = True
    may_have_executed = True
