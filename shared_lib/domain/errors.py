"""A refusal is a value with a stable code; exceptions are for bugs and for things that may pass.

Code                 every refusal a caller can meet, the same words in problem+json, logs and docs
Refusal              one item's no, at its place among the answers of a phase
Unstorable           never: the item holds a value that no column takes
Transient            try again later: the database, a lock, a lease
"""

from __future__ import annotations

from enum import StrEnum

from shared_lib.domain.values import Value


class Code(StrEnum):
    # what was sent cannot be read
    URL_TOO_LONG = "url_too_long"
    BODY_NOT_JSON = "body_not_json"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INVALID = "body_invalid"
    INPUT_UNSTORABLE = "input_unstorable"
    QUERY_INVALID = "query_invalid"
    EVENT_INVALID = "event_invalid"
    EVENT_UNPROVEN = "event_unproven"
    # who is asking
    TOKEN_MISSING = "token_missing"
    TOKEN_MALFORMED = "token_malformed"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_INVALID = "token_invalid"
    SCOPE_MISSING = "scope_missing"
    AUTH_UNAVAILABLE = "auth_unavailable"
    # idempotency
    KEY_MISSING = "idempotency_key_missing"
    KEY_MALFORMED = "idempotency_key_malformed"
    KEY_REUSED = "idempotency_key_reused"
    KEY_IN_FLIGHT = "idempotency_key_in_flight"
    # orders
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_MANY_POLLS = "too_many_polls"
    PRICE_UNKNOWN = "price_unknown"
    PRICE_RETIRED = "price_retired"
    PROVIDER_UNKNOWN = "provider_unknown"
    PROVIDER_CLOSED = "provider_closed"
    CURRENCY_UNSUPPORTED = "currency_unsupported"
    AMOUNT_TOO_SMALL = "amount_too_small"
    RETURN_URL_FORBIDDEN = "return_url_forbidden"
    METHOD_IN_USE = "payment_method_in_use"
    METHOD_UNKNOWN = "payment_method_unknown"
    ALREADY_OWNED = "already_owned"
    ALREADY_RENTED = "already_rented"
    ALREADY_SUBSCRIBED = "already_subscribed"
    ORDER_OPEN = "order_open"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    TRIAL_USED = "trial_used"
    ORDER_NOT_CANCELABLE = "order_not_cancelable"
    PAYMENT_DECLINED = "payment_declined"
    INPUT_REFUSED = "input_refused"
    PROVIDER_REFUSED = "provider_refused"
    PAYMENT_UNRESOLVED = "payment_unresolved"
    # subscriptions
    SUBSCRIPTION_ENDED = "subscription_ended"
    # refunds
    ORDER_NOT_PAID = "order_not_paid"
    REFUND_TOO_MUCH = "refund_too_much"
    REFUND_WINDOW_OVER = "refund_window_over"
    REFUND_STARTED = "refund_started"
    REFUND_LIMIT = "refund_limit_reached"
    REFUND_REPEATED = "refund_repeated"
    REFUND_OWN_ORDER = "refund_own_order"
    REFUND_SAME_PERSON = "refund_same_person"
    REFUND_NOT_AWAITING = "refund_not_awaiting"
    REFUND_AMOUNT_FORBIDDEN = "refund_amount_forbidden"
    # webhooks
    SIGNATURE_INVALID = "signature_invalid"
    WEBHOOK_UNREADABLE = "webhook_unreadable"
    # ours
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Refusal(Value):
    """Why one item was not done. `retry_after_s` when asking again later can help; `order_id`: the order in the way."""

    code: Code
    detail: str
    retry_after_s: int | None = None
    order_id: str | None = None


class Unstorable(Exception):
    """One item holds a value that the database can never take. The same item again is refused again."""


class Transient(Exception):
    """Nothing was decided; the same call again may succeed."""
