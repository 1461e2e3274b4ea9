"""Translates the sandbox's answers: snapshots, events, errors. No I/O; decline codes are a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shared_lib.providers.base import (
    AnswerMismatch,
    BadCredentials,
    ChargeRequest,
    CheckoutRequest,
    Decline,
    DeclineKind,
    DeclineReason,
    EventKind,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    KeyInUse,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    ProviderError,
    ProviderEvent,
    RateLimited,
    RefundRejected,
    RefundRequest,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
    Trust,
    Unavailable,
)
from shared_lib.providers.reading import (
    TEXT_CHARS_MAX,
    Unreadable,
    checkout_link,
    instant,
    mapping,
    member,
    money,
    text,
    text_or_none,
)
from shared_lib.providers.transport import Exchange
from shared_lib.untrusted import UntrustedError, json_of

NAME = "sandbox"

DECLINES: Mapping[str, tuple[DeclineKind, str]] = {
    "do_not_honor": (DeclineKind.SOFT, "card_declined"),
    "insufficient_funds": (DeclineKind.SOFT, DeclineReason.INSUFFICIENT_FUNDS),
    "processing_error": (DeclineKind.SOFT, "try_again_later"),
    "stolen_card": (DeclineKind.HARD, "card_declined"),  # the reason is hidden from a thief
    "expired_card": (DeclineKind.HARD, DeclineReason.CARD_EXPIRED),
    "method_removed": (DeclineKind.HARD, DeclineReason.METHOD_REMOVED),
    "authentication_required": (DeclineKind.ACTION_REQUIRED, "authentication_required"),
    "authentication_failed": (DeclineKind.ACTION_REQUIRED, "authentication_required"),
}
_PARAM_CHARS_MAX = 60
_UNKNOWN_DECLINE = (
    DeclineKind.SOFT,
    "card_declined",
)  # retried a limited number of times, and logged verbatim
_TOPICS = {"payment": EventKind.PAYMENT, "refund": EventKind.REFUND, "method": EventKind.METHOD}
# Parameters with values from the customer, in the request or in the token.
_GIVEN = frozenset({"return_url", "cancel_url", "customer_email", "customer_ref", "locale"})
_NOT_REFUNDABLE = frozenset({"amount_too_large", "not_refundable"})

T = TypeVar("T", PaymentSnapshot, RefundSnapshot)


# ---- exchanges ---------------------------------------------------------------------------------------------


def payment_from(exchange: Exchange, *, mutates: bool) -> PaymentSnapshot:
    """The payment of a 2xx, or of a decline's 402 (a decline is a value). Raises ProviderError."""
    if exchange.status == 402:
        return _readable(payment_of, _declined(exchange), exchange, mutates=mutates)
    return _from(payment_of, exchange, mutates=mutates)


def refund_from(exchange: Exchange, *, mutates: bool) -> RefundSnapshot:
    return _from(refund_of, exchange, mutates=mutates)


def page_from(read: Callable[[object], T], exchange: Exchange) -> tuple[list[T], str | None]:
    """One page of a list, and the cursor of the next page."""
    if not 200 <= exchange.status < 300:
        raise error_of(exchange, mutates=False)
    items, cursor = exchange.body.get("data"), exchange.body.get("next_cursor")
    if not isinstance(items, list) or not (
        cursor is None or (isinstance(cursor, str) and len(cursor) <= TEXT_CHARS_MAX)
    ):
        raise _no_news(exchange, "unreadable_answer", mutates=False)
    return [_readable(read, item, exchange, mutates=False) for item in items], cursor


def error_of(exchange: Exchange, *, mutates: bool) -> ProviderError:
    """The ProviderError for an answer that is not 2xx."""
    error = mapping(exchange.body.get("error"))
    code = exchange.error_code or f"http_{exchange.status}"
    kind = _error_class(exchange.status, str(error.get("type")), code)
    if kind is None:
        return _no_news(exchange, code, mutates=mutates)
    param = str(error.get("param"))[:_PARAM_CHARS_MAX]
    if kind is InvalidRequest and param in _GIVEN:
        kind = InputRejected
    return kind(NAME, code, f"param {param}", **_facts(exchange))


def _error_class(status: int, type_: str, code: str) -> type[ProviderError] | None:
    """None when it is unknown whether the call was executed."""
    by_status = {401: BadCredentials, 403: NotAllowed, 404: NotFound, 429: RateLimited}
    if status in by_status:
        return by_status[status]
    if status == 409 and code == "idempotency_key_in_use":
        return KeyInUse
    if status == 400 and type_ == "idempotency_error":
        return IdempotencyMismatch
    if status == 400 and code == "resource_missing":  # an object named in the body, not in the path
        return NotFound
    if status == 400 and code in _NOT_REFUNDABLE:
        return RefundRejected
    return InvalidRequest if 400 <= status < 500 and status != 408 else None


def _declined(exchange: Exchange) -> object:
    return mapping(exchange.body.get("error")).get("payment")


def _from(read: Callable[[object], T], exchange: Exchange, *, mutates: bool) -> T:
    if not 200 <= exchange.status < 300:
        raise error_of(exchange, mutates=mutates)
    return _readable(read, exchange.body, exchange, mutates=mutates)


def _readable(read: Callable[[object], T], body: object, exchange: Exchange, *, mutates: bool) -> T:
    try:
        return read(body)
    except Unreadable:
        failure = _no_news(exchange, "unreadable_answer", mutates=mutates)
    raise failure


def _no_news(exchange: Exchange, code: str, *, mutates: bool) -> ProviderError:
    kind = OutcomeUnknown if mutates else Unavailable
    return kind(NAME, code, "no answer that can be believed", **_facts(exchange))


def _facts(exchange: Exchange) -> dict[str, Any]:
    return {
        "http_status": exchange.status,
        "request_id": exchange.request_id,
        "retry_after": exchange.retry_after,
    }


# ---- objects -----------------------------------------------------------------------------------------------


def payment_of(body: object) -> PaymentSnapshot:
    """Raises Unreadable."""
    it = mapping(body)
    currency, metadata = text(it, "currency"), mapping(it.get("metadata"))
    state = member(it, "status", PaymentState.PENDING)
    return PaymentSnapshot(
        ref=PaymentRef(provider=NAME, provider_payment_id=text(it, "id")),
        state=state,
        amount=money(it, "amount_minor", currency),
        captured=money(it, "captured_minor", currency),
        refunded=money(it, "refunded_minor", currency),
        payment_id=text_or_none(metadata, "payment_id"),
        order_id=text_or_none(metadata, "order_id"),
        checkout_url=checkout_link(it, "checkout_url"),
        expires_at=instant(it, "expires_at"),
        saved_method=_method(mapping(it.get("method"))),
        decline=_decline(mapping(it.get("decline"))) if state is PaymentState.DECLINED else None,
        created_at=instant(it, "created_at"),
        livemode=it.get("livemode") is True,
    )


def refund_of(body: object) -> RefundSnapshot:
    """Raises Unreadable."""
    it = mapping(body)
    metadata, paid = mapping(it.get("metadata")), mapping(it.get("payment_metadata"))
    return RefundSnapshot(
        provider_refund_id=text(it, "id"),
        our_refund_id=text_or_none(metadata, "refund_id"),
        payment=PaymentRef(provider=NAME, provider_payment_id=text(it, "payment")),
        state=member(it, "status", RefundState.PENDING),
        amount=money(it, "amount_minor", text(it, "currency")),
        reason=text_or_none(it, "failure_reason"),
        payment_id=text_or_none(paid, "payment_id"),
        order_id=text_or_none(paid, "order_id"),
        created_at=instant(it, "created_at"),
    )


def event_of(id_: str, body: bytes) -> ProviderEvent:
    """The event of a verified webhook; an unknown topic is IGNORED. Raises Unreadable."""
    try:
        it = mapping(json_of(body))
    except UntrustedError as error:
        raise Unreadable(str(error)) from None
    data, (topic, _, what) = mapping(it.get("data")), text(it, "type").partition(".")
    kind = _TOPICS.get(topic, EventKind.IGNORED)
    return ProviderEvent(
        dedup_id=id_,
        kind=kind,
        object_id=text(data, "id") if kind is not EventKind.IGNORED else "",
        trust=Trust.SIGNED,
        occurred_at=instant(it, "timestamp"),
        payment=payment_of(data) if kind is EventKind.PAYMENT else None,
        refund=refund_of(data) if kind is EventKind.REFUND else None,
        method=_method(data) if kind is EventKind.METHOD and "last4" in data else None,
        method_gone=kind is EventKind.METHOD and (what == "deleted" or data.get("deleted") is True),
    )


def _method(it: Mapping[str, Any]) -> SavedMethodRef | None:
    if not it:
        return None
    brand, last4 = text(it, "brand"), text(it, "last4")
    return SavedMethodRef(
        provider=NAME,
        method_id=text(it, "id"),
        customer_id=text_or_none(it, "customer_id"),
        brand=brand,
        last4=last4,
        title=f"{brand.title()} •{last4}",
        expires=text_or_none(it, "expires"),
        fingerprint=text_or_none(it, "fingerprint"),
    )


def _decline(it: Mapping[str, Any]) -> Decline:
    code = text_or_none(it, "code") or "unknown"
    kind, reason = DECLINES.get(code, _UNKNOWN_DECLINE)
    return Decline(kind=kind, reason=reason, provider_code=code)


# ---- the answer against the question -----------------------------------------------------------------------


def payment_for(asked: CheckoutRequest | ChargeRequest, exchange: Exchange) -> PaymentSnapshot:
    """Raises AnswerMismatch for another payment or amount than requested: it must not be settled as this one."""
    answered = payment_from(exchange, mutates=True)
    same("amount", asked.amount, answered.amount)
    same("payment_id", asked.payment_id, answered.payment_id)
    same("order_id", asked.order_id, answered.order_id)
    if answered.captured.minor not in (0, asked.amount.minor):
        same("captured", asked.amount, answered.captured)
    body = mapping(_declined(exchange)) if exchange.status == 402 else exchange.body
    if answered.checkout_url is None and body.get("checkout_url"):
        raise AnswerMismatch(NAME, "checkout_link_refused", "the link is neither https nor on this machine")
    return answered


def same_refund(asked: RefundRequest, answered: RefundSnapshot) -> RefundSnapshot:
    same("refund_id", asked.refund_id, answered.our_refund_id)
    same("payment", asked.payment.provider_payment_id, answered.payment.provider_payment_id)
    if asked.amount is not None:
        same("amount", asked.amount, answered.amount)
    return answered


def same_ref(asked: PaymentRef, answered: PaymentSnapshot) -> PaymentSnapshot:
    same("payment", asked.provider_payment_id, answered.ref.provider_payment_id)
    return answered


def same(what: str, asked: object, answered: object) -> None:
    """Raises AnswerMismatch."""
    if asked != answered:
        raise AnswerMismatch(NAME, f"other_{what}", f"asked for {asked}, answered {answered}")
