"""YooKassa's error envelope as the port's errors."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from shared_lib.providers.base import (
    BadCredentials,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    RefundRejected,
    Unavailable,
)
from shared_lib.providers.transport import Exchange
from shared_lib.providers.yookassa.wire import NAME

_PLAIN = re.compile(r"[\w.:-]{1,100}")
_WAIT_MAX: Final = timedelta(days=1)
_BY_STATUS: Final = {401: BadCredentials, 403: NotAllowed, 404: NotFound, 429: RateLimited}
# Parameters with values from the customer.
_GIVEN: Final = ("confirmation.return_url", "receipt.customer", "receipt.email", "merchant_customer_id")


class Doing(StrEnum):
    """What was asked. `READ` executes nothing; a refusal of a refund is business, not a bug."""

    READ = "read"
    PAY = "pay"
    REFUND = "refund"


def error_of(exchange: Exchange, doing: Doing) -> ProviderError:
    """The ProviderError for an answer that is not 200."""
    code = _plain(exchange.body.get("code")) or f"http_{exchange.status}"
    parameter = _plain(exchange.body.get("parameter")) or "none"
    kind = _error_class(exchange.status, parameter, code, doing)
    if kind is None:
        return no_news(exchange, code, doing)
    return kind(NAME, code, f"parameter {parameter}", **_facts(exchange))


def no_news(exchange: Exchange, code: str, doing: Doing) -> ProviderError:
    """For an answer from which nothing follows: 202, 500, or one that is not readable."""
    kind = Unavailable if doing is Doing.READ else OutcomeUnknown
    return kind(NAME, code, "no answer that can be believed", **_facts(exchange))


def _error_class(status: int, parameter: str, code: str, doing: Doing) -> type[ProviderError] | None:
    """None when it is unknown whether the call was executed."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if not 400 <= status < 500 or status == 408:
        return None
    if parameter.lower() == "idempotence-key":  # ours are always well-formed, so it is another body
        return IdempotencyMismatch
    if parameter == "payment_method_id":  # there is no such saved method in this shop
        return NotFound
    if doing is Doing.REFUND and (parameter in ("amount", "payment_id") or code == "not_supported"):
        return RefundRejected
    return InputRejected if parameter.startswith(_GIVEN) else InvalidRequest


def _facts(exchange: Exchange) -> dict[str, Any]:
    """The error's id is what YooKassa's support asks for."""
    return {
        "http_status": exchange.status,
        "request_id": _plain(exchange.body.get("id")) or exchange.request_id,
        "retry_after": _retry_after(exchange.body.get("retry_after")) or exchange.retry_after,
    }


def _retry_after(milliseconds: object) -> timedelta | None:
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or milliseconds < 0:
        return None
    return min(timedelta(milliseconds=min(milliseconds, 10**9)), _WAIT_MAX)


def _plain(value: object) -> str | None:
    """A short word of theirs; anything else is not repeated in an error."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else None
