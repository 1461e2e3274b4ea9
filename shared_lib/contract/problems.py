"""Each refusal over HTTP: RFC 9457 problem+json with a stable `code`. docs/problems.md is generated from this table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared_lib.domain.errors import Code, Refusal

MEDIA_TYPE = "application/problem+json"


class Problem(NamedTuple):
    """`next_step`: what its caller does, for docs/problems.md."""

    status: int
    title: str
    next_step: str


PROBLEMS: Final[Mapping[Code, Problem]] = {
    Code.URL_TOO_LONG: Problem(414, "URL too long", "Send at most 4096 bytes of path and query"),
    Code.BODY_NOT_JSON: Problem(400, "Body is not valid JSON", "Send JSON in UTF-8"),
    Code.BODY_TOO_LARGE: Problem(413, "Body too large", "Send at most 64 KiB"),
    Code.BODY_INVALID: Problem(422, "Invalid body", "Correct the fields that `errors` names"),
    Code.INPUT_UNSTORABLE: Problem(
        422, "Value cannot be stored", "Correct the value. Retrying with the same value fails again"
    ),
    Code.QUERY_INVALID: Problem(422, "Invalid query parameter", "Correct the parameter that `detail` names"),
    Code.EVENT_INVALID: Problem(
        422, "Invalid event", "Nothing: the relay or the trigger keeps the event as a dead letter (runbook)"
    ),
    Code.EVENT_UNPROVEN: Problem(
        401,
        "Event sender not authenticated",
        "Sign the event with BOXOFFICE_EVENT_SECRETS, or send a token of a trusted sender (runbook: event_refused)",
    ),
    Code.TOKEN_MISSING: Problem(401, "Bearer token required", "Send `Authorization: Bearer ...`"),
    Code.TOKEN_MALFORMED: Problem(401, "Malformed bearer token", "Send the token exactly as it was issued"),
    Code.TOKEN_EXPIRED: Problem(401, "Bearer token expired", "Get a new token, then retry with the same key"),
    Code.TOKEN_INVALID: Problem(
        401, "Invalid bearer token", "Get a token of the right issuer for this audience"
    ),
    Code.SCOPE_MISSING: Problem(403, "Insufficient scope", "Use a token with the scope that `detail` names"),
    Code.AUTH_UNAVAILABLE: Problem(503, "Auth service unavailable", "Retry after `Retry-After`"),
    Code.KEY_MISSING: Problem(400, "Idempotency-Key required", "Send an Idempotency-Key, for example a UUID"),
    Code.KEY_MALFORMED: Problem(
        400, "Malformed Idempotency-Key", "Use 1 to 255 visible ASCII characters, quoted or bare"
    ),
    Code.KEY_REUSED: Problem(
        422, "Idempotency-Key used for a different request", "Use a new key for a new request"
    ),
    Code.KEY_IN_FLIGHT: Problem(
        409, "Request in progress", "Retry after `Retry-After`: the answer is that of the first request"
    ),
    Code.NOT_FOUND: Problem(404, "Not found", "Nothing: it does not exist, or belongs to another customer"),
    Code.METHOD_NOT_ALLOWED: Problem(405, "Method not allowed", "Use a method that `Allow` names"),
    Code.TOO_MANY_POLLS: Problem(
        429, "Too many long polls", "Retry after `Retry-After`; share one long poll among all tabs"
    ),
    Code.PRICE_UNKNOWN: Problem(422, "Unknown price", "Read the catalog again"),
    Code.PRICE_RETIRED: Problem(422, "Price not on sale", "Read the catalog again"),
    Code.PROVIDER_UNKNOWN: Problem(422, "Unknown payment provider", "Omit `provider`"),
    Code.PROVIDER_CLOSED: Problem(
        409,
        "Payment provider not in use",
        "For an order, omit `provider` and `payment_method_id`. For a refund, retry later: nothing was reserved",
    ),
    Code.CURRENCY_UNSUPPORTED: Problem(422, "Currency not supported", "Choose a price in another currency"),
    Code.AMOUNT_TOO_SMALL: Problem(
        422,
        "Amount below the provider's minimum",
        "Correct the catalog: the price is too low for its provider",
    ),
    Code.RETURN_URL_FORBIDDEN: Problem(
        422, "return_url not allowed", "Use an origin of BOXOFFICE_RETURN_URL_ORIGINS"
    ),
    Code.METHOD_IN_USE: Problem(
        409,
        "Payment method in use",
        "Show `subscriptions`; when the customer confirms, retry with `?confirm=true`",
    ),
    Code.METHOD_UNKNOWN: Problem(
        422, "Unknown payment method", "Omit `payment_method_id`: the customer then pays on the checkout page"
    ),
    Code.ALREADY_OWNED: Problem(409, "Already bought", "Show the title: the customer can watch it"),
    Code.ALREADY_RENTED: Problem(
        409, "Already rented", "Show the title: the customer can watch it until the rental ends"
    ),
    Code.ALREADY_SUBSCRIBED: Problem(409, "Already subscribed", "Show the subscription"),
    Code.ORDER_OPEN: Problem(
        409,
        "Another order is open",
        "Continue or cancel the order that `order_id` names; with `Retry-After`, retry after it",
    ),
    Code.TOO_MANY_OPEN_ORDERS: Problem(
        409, "Too many open orders", "Let the customer pay or cancel one of the open orders"
    ),
    Code.TRIAL_USED: Problem(
        409,
        "Trial already used",
        "Tell the customer, and offer the plan at its regular price: the next order has it",
    ),
    Code.ORDER_NOT_CANCELABLE: Problem(
        409, "Order cannot be canceled", "Request a refund, or opt out of renewals"
    ),
    Code.PAYMENT_DECLINED: Problem(
        402, "Payment declined", "Let the customer choose another payment method: a new order with a new key"
    ),
    Code.INPUT_REFUSED: Problem(
        422,
        "Value rejected by the payment provider",
        "Check `return_url` and the e-mail address of the token; order again with a new key",
    ),
    Code.PROVIDER_REFUSED: Problem(
        502,
        "Request rejected by the payment provider",
        "Order again later. If it persists, page the operators: `provider_error` in the logs has the reason",
    ),
    Code.PAYMENT_UNRESOLVED: Problem(
        409, "Payment outcome not known yet", "Retry after `Retry-After`; nothing is charged twice"
    ),
    Code.SUBSCRIPTION_ENDED: Problem(409, "Subscription has ended", "Order a new subscription"),
    Code.ORDER_NOT_PAID: Problem(409, "Order not paid", "Cancel the order instead"),
    Code.REFUND_TOO_MUCH: Problem(409, "More than is left to refund", "Read `refunded` of the order"),
    Code.REFUND_WINDOW_OVER: Problem(
        409, "Refund period is over", "Send the customer to support: an operator may still refund"
    ),
    Code.REFUND_STARTED: Problem(
        409, "Title already started", "Send the customer to support: an operator may still refund"
    ),
    Code.REFUND_LIMIT: Problem(
        409, "Too many returned titles", "Send the customer to support: an operator may still refund"
    ),
    Code.REFUND_REPEATED: Problem(
        409, "Title already returned once", "Send the customer to support: an operator may still refund"
    ),
    Code.REFUND_OWN_ORDER: Problem(
        403,
        "Operators cannot act on their own orders",
        "Use a customer's token, or let another operator decide",
    ),
    Code.REFUND_SAME_PERSON: Problem(
        403, "A second operator must approve", "Let another operator approve; the first one may reject"
    ),
    Code.REFUND_NOT_AWAITING: Problem(
        409, "Refund not awaiting approval", "Read the refund: it was sent, approved or rejected"
    ),
    Code.REFUND_AMOUNT_FORBIDDEN: Problem(403, "Reserved for operators", "Omit `amount_minor` and `access`"),
    Code.SIGNATURE_INVALID: Problem(
        400, "Invalid webhook signature", "Compare the secrets and the clocks of both sides (runbook)"
    ),
    Code.WEBHOOK_UNREADABLE: Problem(
        422,
        "Unreadable webhook",
        "Read the log line `webhook_unreadable` (runbook): the provider sent a body that this version cannot parse",
    ),
    Code.UNAVAILABLE: Problem(503, "Temporarily unavailable", "Retry after `Retry-After` with the same key"),
    Code.INTERNAL: Problem(500, "Internal error", "Retry with the same key; report it if it persists"),
}

GATEWAY_PROBLEMS: Final[Mapping[str, Problem]] = {
    "request_malformed": Problem(400, "Malformed request", "Send HTTP/1.1 or newer, without conditions"),
    "request_timeout": Problem(408, "Request timeout", "Send the whole request at once; nothing was done"),
    "length_required": Problem(411, "Length required", "Send the header Content-Length"),
    "rate_limited": Problem(429, "Too many requests", "Retry after `Retry-After`; nothing was done"),
    "headers_too_large": Problem(431, "Headers too large", "Send at most 16 KiB a line, 64 KiB in all"),
}
"""What NGINX answers before a door is called, beside codes that doors have too (`unavailable` as 502, 503 and 504)."""

UNAVAILABLE_AT: Final = (502, 503, 504)
"""NGINX's statuses for `unavailable`: the door cannot be reached, is busy, or did not answer in time."""


def status_of(code: Code) -> int:
    return PROBLEMS[code].status


def problem_body(refusal: Refusal, **members: object) -> bytes:
    """The problem document. `members` are its extensions, such as the errors of a body or an order's id."""
    status, title, _ = PROBLEMS[refusal.code]
    if refusal.order_id:
        members = {"order_id": refusal.order_id, **members}
    document = {
        "type": f"urn:boxoffice:problem:{refusal.code}",
        "title": title,
        "status": status,
        "detail": refusal.detail,
        "code": refusal.code,
        **members,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
