# ruff: noqa: N818  # "except OutcomeUnknown" says it; an Error suffix would add nothing
"""What can go wrong between us and a provider, told apart by what the caller does next.

ProviderError
  InvalidRequest        our bug: page, do not retry
    InputRejected       a value the customer gave: answer 422, do not retry
  BadCredentials        the key is wrong: page
  NotAllowed            a feature is off at the provider: page, turn it off here
  NotFound              the provider knows no such object
  IdempotencyMismatch   one key, two bodies: page, our key derivation is wrong
  RefundRejected        business: show the reason, re-read the payment
  WebhookRejected       answer 400, do nothing
  WebhookUnreadable     signed, and not what was promised: answer 422, page
  AnswerMismatch        the answer contradicts what we asked: page, settle nothing
  RateLimited           surely not executed: wait, same key
  Unavailable           surely not executed: wait, same key
    KeyInUse            an earlier call with this key still runs: wait, same key
  OutcomeUnknown        MAY have been executed: same key within its lifetime, else search
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar


class ProviderError(Exception):
    """A call that brought no observation. Carries codes for logs, never a secret, never a body."""

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
    """The provider refused what we built. Page someone; do not retry: the same bytes fail again."""

    pages = True


class InputRejected(InvalidRequest):
    """The provider refused a value that its customer gave. Nothing is wrong with us, so no person is called."""

    pages = False


class BadCredentials(ProviderError):
    """401. Page someone; nothing was executed; keep the work for when the key is right."""

    pages = True


class NotAllowed(ProviderError):
    """403. The feature is off at the provider: page, turn it off in settings, do not retry."""

    pages = True


class NotFound(ProviderError):
    """The provider knows no such object. For an id that we hold: wrong account, or a lost object."""


class IdempotencyMismatch(ProviderError):
    """This key was used with another body. Page: key derivation is wrong. Find by our id first."""

    pages = True
    may_have_executed = True


class RefundRejected(ProviderError):
    """Over-refund, too old, not refundable. Nothing was executed: show the reason, re-read the payment."""


class WebhookRejected(ProviderError):
    """Bad, missing or stale signature. Answer 400, count it, do nothing."""


class WebhookUnreadable(ProviderError):
    """Signed by the provider, and nothing we can read or keep: the same bytes never will be. Answer 422 and page."""

    pages = True


class AnswerMismatch(ProviderError):
    """Amount, currency or id in the answer are not what we asked for. Page; settle nothing: it is unknown."""

    pages = True
    may_have_executed = True


class RateLimited(ProviderError):
    """429, surely not executed. Wait retry_after (or back off), then send the same key."""

    retry_same_key = True


class Unavailable(ProviderError):
    """Surely not executed: we never got through, or only wanted to read. Back off, then send the same key."""

    retry_same_key = True


class KeyInUse(Unavailable):
    """An earlier call with this key still runs there. Wait, same key: it answers what that one did."""

    may_have_executed = True


class OutcomeUnknown(ProviderError):
    """May have been executed. Same key within its lifetime, else find by our id. Never a new key."""

    retry_same_key = True
    may_have_executed = True
