"""Stripe's answers to our calls: snapshots, or the ProviderError. The answer is held against the question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from shared_lib.providers.base import (
    AnswerMismatch,
    ChargeRequest,
    CheckoutRequest,
    PaymentRef,
    PaymentSnapshot,
    ProviderError,
    RefundRequest,
    RefundSnapshot,
)
from shared_lib.providers.reading import Unreadable, mapping, text
from shared_lib.providers.stripe.amounts import NAME
from shared_lib.providers.stripe.errors import charge_error, error_of, no_news, refund_error
from shared_lib.providers.stripe.objects import intent_payment, refund_of, session_payment
from shared_lib.providers.transport import Exchange

EXPANDED_INTENT: Final = ("payment_method", "latest_charge")
EXPANDED_SESSION: Final = (
    "payment_intent.payment_method",
    "payment_intent.latest_charge",
    "setup_intent.payment_method",
)

T = TypeVar("T")


def expand(names: Sequence[str], prefix: str = "") -> dict[str, str]:
    """The query that asks for whole objects instead of their ids; `prefix` is "data." in a list."""
    return {f"expand[{index}]": prefix + name for index, name in enumerate(names)}


# ---- exchanges ---------------------------------------------------------------------------------------------


def payment_from(exchange: Exchange, *, mutates: bool) -> PaymentSnapshot:
    """The session or intent of a 2xx. Raises ProviderError."""
    if not 200 <= exchange.status < 300:
        raise error_of(exchange, mutates=mutates)
    return readable(payment_of, exchange.body, exchange, mutates=mutates)


def refund_from(exchange: Exchange, payment: PaymentRef, *, mutates: bool) -> RefundSnapshot:
    if not 200 <= exchange.status < 300:
        raise refund_error(exchange) if mutates else error_of(exchange, mutates=False)

    def read(body: object) -> RefundSnapshot:
        return refund_of(body, payment.provider_payment_id)

    answered = readable(read, exchange.body, exchange, mutates=mutates)
    if payment.capture_id is not None:
        same("payment", payment.capture_id, answered.payment.capture_id)
    return answered


def items_of(exchange: Exchange) -> tuple[list[Mapping[str, Any]], bool]:
    """The objects of one page, and whether there are more. Raises ProviderError."""
    if not 200 <= exchange.status < 300:
        raise error_of(exchange, mutates=False)
    items, more = exchange.body.get("data"), exchange.body.get("has_more")
    if not isinstance(items, list) or not isinstance(more, bool) or (more and not items):
        raise no_news(exchange, "unreadable_answer", mutates=False)
    return [mapping(item) for item in items], more


def payment_of(body: object) -> PaymentSnapshot:
    """A session or an intent. Raises Unreadable."""
    it = mapping(body)
    return session_payment(it) if text(it, "object") == "checkout.session" else intent_payment(it)


def readable(read: Callable[[object], T], body: object, exchange: Exchange, *, mutates: bool) -> T:
    try:
        return read(body)
    except Unreadable:
        failure: ProviderError = no_news(exchange, "unreadable_answer", mutates=mutates)
    raise failure


def is_not_open(exchange: Exchange) -> bool:
    """A link that cannot be closed: its error has no code of its own, and the present state says why."""
    error = mapping(exchange.body.get("error"))
    return (
        exchange.status == 400
        and error.get("type") == "invalid_request_error"
        and exchange.error_code != "resource_missing"
    )


def is_detached(exchange: Exchange) -> bool:
    """A payment method that belongs to no customer (any more) is refused with a 400."""
    return is_not_open(exchange) or (exchange.status == 400 and exchange.error_code == "resource_missing")


# ---- the answer against the question -----------------------------------------------------------------------


def session_for(asked: CheckoutRequest, exchange: Exchange) -> PaymentSnapshot:
    """Raises AnswerMismatch for another payment or amount than requested: it must not be settled as this one."""
    answered = _payment_for(asked, payment_from(exchange, mutates=True))
    if answered.checkout_url is None and exchange.body.get("url"):
        raise AnswerMismatch(NAME, "checkout_link_refused", "the link is neither https nor on this machine")
    return answered


def charge_for(asked: ChargeRequest, exchange: Exchange) -> PaymentSnapshot:
    """As `session_for`. A decline's 402 contains the intent, and is a value."""
    if 200 <= exchange.status < 300:
        return _payment_for(asked, payment_from(exchange, mutates=True))
    error = mapping(exchange.body.get("error"))
    if exchange.status != 402 or error.get("type") != "card_error":
        raise charge_error(exchange)
    # The intent may have no error of its own yet (for an authentication): the answer's says why.
    failed = {"last_payment_error": error, **_present(mapping(error.get("payment_intent")))}
    declined = failed | {"status": "requires_payment_method"}
    return _payment_for(asked, readable(intent_payment, declined, exchange, mutates=True))


def refund_for(asked: RefundRequest, exchange: Exchange) -> RefundSnapshot:
    answered = refund_from(exchange, asked.payment, mutates=True)
    same("refund_id", asked.refund_id, answered.our_refund_id)
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


def _payment_for(asked: CheckoutRequest | ChargeRequest, answered: PaymentSnapshot) -> PaymentSnapshot:
    same("amount", asked.amount, answered.amount)
    same("payment_id", asked.payment_id, answered.payment_id)
    same("order_id", asked.order_id, answered.order_id)
    if answered.captured.minor not in (0, asked.amount.minor):
        same("captured", asked.amount, answered.captured)
    return answered


def _present(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
