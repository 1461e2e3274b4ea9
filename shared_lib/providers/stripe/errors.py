"""The ProviderError for an answer of Stripe that is not 2xx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from shared_lib.providers.base import (
    BadCredentials,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    KeyInUse,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    RefundRejected,
    Unavailable,
)
from shared_lib.providers.reading import mapping
from shared_lib.providers.stripe.amounts import NAME
from shared_lib.providers.transport import Exchange

_PARAM_CHARS_MAX: Final = 60
# Parameters with values from the customer, in the request or in the token.
_GIVEN: Final = frozenset({"success_url", "cancel_url", "customer_email", "locale"})
_NOT_REFUNDABLE: Final = frozenset(
    {
        "amount_too_large", "charge_already_refunded", "charge_disputed", "charge_not_refundable",
        "refund_disputed_payment", "payment_intent_unexpected_state",
    }
)  # fmt: skip
_REFUNDED: Final = frozenset({"amount", "payment_intent", "charge"})
_METHOD: Final = frozenset({"payment_method", "customer"})
# A detached card is refused in words, without a code.
_DETACHED: Final = re.compile(r"must be attached to the customer|was detached from a customer", re.IGNORECASE)


def error_of(exchange: Exchange, *, mutates: bool) -> ProviderError:
    """For any call."""
    kind = _class_of(exchange)
    if kind is None:
        return no_news(exchange, _code(exchange), mutates=mutates)
    return _made(kind, exchange)


def charge_error(exchange: Exchange) -> ProviderError:
    """For a charge: a card or customer that Stripe does not have (any more) is NotFound."""
    if _class_of(exchange) is InvalidRequest and exchange.status == 400:
        message = str(_error(exchange).get("message"))
        if _param(exchange) in _METHOD or _DETACHED.search(message):
            return _made(NotFound, exchange)
    return error_of(exchange, mutates=True)


def refund_error(exchange: Exchange) -> ProviderError:
    """For a refund: more than is left, disputed, nothing paid. Whether an over-refund has a code differs, so `param` decides."""
    refused = _code(exchange) in _NOT_REFUNDABLE or _param(exchange) in _REFUNDED
    if refused and exchange.status == 400 and _class_of(exchange) is InvalidRequest:
        return _made(RefundRejected, exchange)
    return error_of(exchange, mutates=True)


def no_news(exchange: Exchange, code: str, *, mutates: bool) -> ProviderError:
    """For an answer that proves nothing."""
    kind = OutcomeUnknown if mutates else Unavailable
    return kind(NAME, code, "no answer that can be believed", **_facts(exchange))


def _class_of(exchange: Exchange) -> type[ProviderError] | None:
    """None when it is unknown whether the call was executed."""
    by_status = {401: BadCredentials, 403: NotAllowed, 409: KeyInUse, 429: RateLimited}
    if exchange.status in by_status:
        return by_status[exchange.status]
    if _error(exchange).get("type") == "idempotency_error":
        return IdempotencyMismatch
    if _code(exchange) == "resource_missing":  # in the path, or named in the body
        return NotFound
    if exchange.status in (400, 402, 404):
        # A 404 without that code is no object that is missing but an address that Stripe does not have.
        return InputRejected if _param(exchange) in _GIVEN else InvalidRequest
    return None if exchange.status >= 500 or exchange.status in (408, 424) else InvalidRequest


def _made(kind: type[ProviderError], exchange: Exchange) -> ProviderError:
    return kind(NAME, _code(exchange), f"param {_param(exchange)}", **_facts(exchange))


def _error(exchange: Exchange) -> Mapping[str, Any]:
    return mapping(exchange.body.get("error"))


def _code(exchange: Exchange) -> str:
    return exchange.error_code or f"http_{exchange.status}"


def _param(exchange: Exchange) -> str:
    return str(_error(exchange).get("param"))[:_PARAM_CHARS_MAX]


def _facts(exchange: Exchange) -> dict[str, Any]:
    return {
        "http_status": exchange.status,
        "request_id": exchange.request_id,
        "retry_after": exchange.retry_after,
    }
