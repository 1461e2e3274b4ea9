"""How each refusal looks over HTTP: RFC 9457 problem+json with a stable `code`. docs/problems.md is made from this."""

from __future__ import annotations

import json

from shared_lib.domain.errors import Code, Refusal

MEDIA_TYPE = "application/problem+json"

PROBLEMS: dict[Code, tuple[int, str]] = {
    Code.URL_TOO_LONG: (414, "The address is too long"),
    Code.BODY_NOT_JSON: (400, "The body is not JSON"),
    Code.BODY_TOO_LARGE: (413, "The body is too large"),
    Code.BODY_INVALID: (422, "The body does not fit"),
    Code.INPUT_UNSTORABLE: (422, "The request holds a value that cannot be kept"),
    Code.QUERY_INVALID: (422, "The query does not fit"),
    Code.EVENT_INVALID: (422, "Not an event this function takes"),
    Code.EVENT_UNPROVEN: (401, "The sender of the event is not proven"),
    Code.TOKEN_MISSING: (401, "A bearer token is needed"),
    Code.TOKEN_MALFORMED: (401, "The bearer token cannot be read"),
    Code.TOKEN_EXPIRED: (401, "The bearer token has expired"),
    Code.TOKEN_INVALID: (401, "The bearer token is not valid"),
    Code.SCOPE_MISSING: (403, "The token does not allow this"),
    Code.AUTH_UNAVAILABLE: (503, "The Auth service cannot be reached"),
    Code.KEY_MISSING: (400, "An Idempotency-Key is needed"),
    Code.KEY_MALFORMED: (400, "The Idempotency-Key cannot be read"),
    Code.KEY_REUSED: (422, "The Idempotency-Key belongs to a different request"),
    Code.KEY_IN_FLIGHT: (409, "The same request is being worked on"),
    Code.NOT_FOUND: (404, "Not found"),
    Code.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    Code.TOO_MANY_POLLS: (429, "Too many requests of yours wait already"),
    Code.PRICE_UNKNOWN: (422, "Unknown price"),
    Code.PRICE_RETIRED: (422, "The price is not on sale"),
    Code.PROVIDER_UNKNOWN: (422, "Unknown payment provider"),
    Code.PROVIDER_CLOSED: (409, "The payment provider is not in use here now"),
    Code.CURRENCY_UNSUPPORTED: (422, "No provider takes this currency"),
    Code.AMOUNT_TOO_SMALL: (422, "The amount is below the provider's minimum"),
    Code.RETURN_URL_FORBIDDEN: (422, "The return_url is not allowed"),
    Code.METHOD_IN_USE: (409, "Subscriptions are renewed with this payment method"),
    Code.METHOD_UNKNOWN: (422, "Unknown payment method"),
    Code.ALREADY_OWNED: (409, "Bought already"),
    Code.ALREADY_RENTED: (409, "Rented already"),
    Code.ALREADY_SUBSCRIBED: (409, "Subscribed already"),
    Code.ORDER_OPEN: (409, "Another order for this is open"),
    Code.TOO_MANY_OPEN_ORDERS: (409, "Too many orders are open"),
    Code.TRIAL_USED: (409, "The trial of this plan has been used"),
    Code.PROMOTION_UNKNOWN: (422, "Unknown promotion code"),
    Code.ORDER_NOT_CANCELABLE: (409, "The order cannot be canceled any more"),
    Code.PAYMENT_DECLINED: (402, "The payment was declined"),
    Code.INPUT_REFUSED: (422, "The payment provider does not take a value that was sent"),
    Code.PROVIDER_REFUSED: (502, "The payment provider refused our request"),
    Code.PAYMENT_UNRESOLVED: (409, "The payment provider has not told the outcome yet"),
    Code.SUBSCRIPTION_ENDED: (409, "The subscription is over"),
    Code.ORDER_NOT_PAID: (409, "The order has not been paid"),
    Code.REFUND_TOO_MUCH: (409, "More than is left to refund"),
    Code.REFUND_WINDOW_OVER: (409, "The time to refund is over"),
    Code.REFUND_STARTED: (409, "The title has been started"),
    Code.REFUND_LIMIT: (409, "Too many titles were returned"),
    Code.REFUND_REPEATED: (409, "This title was returned before"),
    Code.REFUND_OWN_ORDER: (403, "An operator decides nothing about their own order"),
    Code.REFUND_SAME_PERSON: (403, "A second operator must approve"),
    Code.REFUND_NOT_AWAITING: (409, "The refund does not wait for an approval"),
    Code.REFUND_AMOUNT_FORBIDDEN: (403, "Only an operator may choose this"),
    Code.SIGNATURE_INVALID: (400, "The webhook is not authentic"),
    Code.WEBHOOK_UNREADABLE: (422, "The webhook cannot be read"),
    Code.UNAVAILABLE: (503, "Try again in a moment"),
    Code.INTERNAL: (500, "Something went wrong on our side"),
}


def status_of(code: Code) -> int:
    return PROBLEMS[code][0]


def problem_body(refusal: Refusal, **members: object) -> bytes:
    """The problem document. `members` are its extensions, such as the errors of a body or an order's id."""
    status, title = PROBLEMS[refusal.code]
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
