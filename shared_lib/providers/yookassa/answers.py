"""Translates YooKassa's answers into snapshots. No I/O; the reasons of refusals are a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from shared_lib.domain.money import Money, zero
from shared_lib.providers.base import (
    AnswerMismatch,
    ChargeRequest,
    CheckoutRequest,
    Decline,
    DeclineKind,
    DeclineReason,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    RefundRequest,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
)
from shared_lib.providers.reading import (
    TEXT_CHARS_MAX,
    Unreadable,
    checkout_link,
    instant,
    mapping,
    member,
    text,
    text_or_none,
)
from shared_lib.providers.transport import Exchange
from shared_lib.providers.yookassa.errors import Doing, error_of, no_news
from shared_lib.providers.yookassa.wire import LINK_LIFE, NAME, read_amount

# cancellation_details.reason. The customer hears no reason that would help a thief.
DECLINES: Final[Mapping[str, tuple[DeclineKind, str]]] = {
    "insufficient_funds": (DeclineKind.SOFT, DeclineReason.INSUFFICIENT_FUNDS),
    "issuer_unavailable": (DeclineKind.SOFT, "try_again_later"),
    "internal_timeout": (DeclineKind.SOFT, "try_again_later"),
    "general_decline": (DeclineKind.SOFT, "card_declined"),
    "payment_method_limit_exceeded": (DeclineKind.SOFT, "card_declined"),
    "call_issuer": (DeclineKind.SOFT, "card_declined"),
    "card_expired": (DeclineKind.HARD, DeclineReason.CARD_EXPIRED),
    "invalid_card_number": (DeclineKind.HARD, "card_declined"),
    "invalid_csc": (DeclineKind.HARD, "card_declined"),
    "payment_method_restricted": (DeclineKind.HARD, "card_declined"),
    "permission_revoked": (DeclineKind.HARD, DeclineReason.METHOD_REMOVED),  # the customer withdrew consent
    "country_forbidden": (DeclineKind.HARD, "card_declined"),
    "fraud_suspected": (DeclineKind.HARD, "card_declined"),
    "unsupported_mobile_operator": (DeclineKind.HARD, "card_declined"),
    "3d_secure_failed": (DeclineKind.ACTION_REQUIRED, "authentication_required"),
    "identification_required": (DeclineKind.ACTION_REQUIRED, "authentication_required"),
}
_UNKNOWN_DECLINE: Final = (DeclineKind.SOFT, "card_declined")  # retried a limited number of times
# These say that no bank refused anything.
_ENDINGS: Final[Mapping[str, PaymentState]] = {
    "expired_on_confirmation": PaymentState.EXPIRED,
    "expired_on_capture": PaymentState.CANCELED,
    "canceled_by_merchant": PaymentState.CANCELED,
    "deal_expired": PaymentState.CANCELED,
}


class _Status(StrEnum):
    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


_STATES: Final = {
    _Status.PENDING: PaymentState.PENDING,
    _Status.WAITING_FOR_CAPTURE: PaymentState.APPROVED,
    _Status.SUCCEEDED: PaymentState.SUCCEEDED,
}
_REFUND_STATES: Final = {
    _Status.SUCCEEDED: RefundState.SUCCEEDED,
    _Status.CANCELED: RefundState.FAILED,
}

T = TypeVar("T")


# ---- exchanges ---------------------------------------------------------------------------------------------


def read(exchange: Exchange, of: Callable[[object], T], doing: Doing) -> T:
    """The object of a 200. Raises ProviderError."""
    if exchange.status != 200:
        raise error_of(exchange, doing)
    return _readable(of, exchange.body, exchange, doing)


def page(exchange: Exchange, of: Callable[[object], T]) -> tuple[list[T], str | None]:
    """One page of a list, and the cursor of the next page."""
    if exchange.status != 200:
        raise error_of(exchange, Doing.READ)
    items, cursor = exchange.body.get("items"), exchange.body.get("next_cursor")
    known = cursor is None or (isinstance(cursor, str) and len(cursor) <= TEXT_CHARS_MAX)
    if not isinstance(items, list) or not known:
        raise no_news(exchange, "unreadable_answer", Doing.READ)
    return [_readable(of, item, exchange, Doing.READ) for item in items], cursor


def _readable(of: Callable[[object], T], body: object, exchange: Exchange, doing: Doing) -> T:
    try:
        return of(body)
    except Unreadable:
        failure = no_news(exchange, "unreadable_answer", doing)
    raise failure


# ---- objects -----------------------------------------------------------------------------------------------


def payment_of(body: object) -> PaymentSnapshot:
    """A payment. Raises Unreadable."""
    it = mapping(body)
    metadata, asked = mapping(it.get("metadata")), read_amount(it, "amount")
    state, decline = _state(it)
    created_at = instant(it, "created_at")
    url = checkout_link(mapping(it.get("confirmation")), "confirmation_url")
    refunded = read_amount(it, "refunded_amount") if it.get("refunded_amount") else zero(asked.currency)
    return PaymentSnapshot(
        ref=PaymentRef(provider=NAME, provider_payment_id=text(it, "id")),
        state=state,
        amount=asked,
        captured=asked if state is PaymentState.SUCCEEDED else zero(asked.currency),
        refunded=refunded,
        payment_id=text_or_none(metadata, "payment_id"),
        order_id=text_or_none(metadata, "order_id"),
        checkout_url=url,
        expires_at=_link_ends(created_at, url),
        saved_method=_saved(mapping(it.get("payment_method"))),
        decline=decline,
        created_at=created_at,
        livemode=it.get("test") is False,
    )


def refund_of(body: object) -> RefundSnapshot:
    """A refund. It names its payment by YooKassa's id alone. Raises Unreadable."""
    it = mapping(body)
    status = member(it, "status", _Status.PENDING)
    return RefundSnapshot(
        provider_refund_id=text(it, "id"),
        our_refund_id=text_or_none(mapping(it.get("metadata")), "refund_id"),
        payment=PaymentRef(provider=NAME, provider_payment_id=text(it, "payment_id")),
        state=_REFUND_STATES.get(status, RefundState.PENDING),
        amount=read_amount(it, "amount"),
        reason=text_or_none(mapping(it.get("cancellation_details")), "reason"),
        created_at=instant(it, "created_at"),
    )


def _state(it: Mapping[str, Any]) -> tuple[PaymentState, Decline | None]:
    status = member(it, "status", _Status.PENDING)
    if status is not _Status.CANCELED:
        return _STATES[status], None
    reason = text_or_none(mapping(it.get("cancellation_details")), "reason") or "unknown"
    if reason in _ENDINGS:
        return _ENDINGS[reason], None
    kind, ours = DECLINES.get(reason, _UNKNOWN_DECLINE)
    return PaymentState.DECLINED, Decline(kind=kind, reason=ours, provider_code=reason)


def _link_ends(created_at: datetime | None, url: str | None) -> datetime | None:
    return created_at + LINK_LIFE if created_at and url else None


def _saved(it: Mapping[str, Any]) -> SavedMethodRef | None:
    """The method, if it may be charged again. YooKassa names no fingerprint of a card."""
    if it.get("saved") is not True or it.get("status") not in (None, "active"):
        return None
    card = mapping(it.get("card"))
    year, month = text_or_none(card, "expiry_year"), text_or_none(card, "expiry_month")
    brand, last4 = text_or_none(card, "card_type"), text_or_none(card, "last4")
    title = f"{brand} •{last4}" if brand and last4 else text_or_none(it, "title")
    return SavedMethodRef(
        provider=NAME,
        method_id=text(it, "id"),
        brand=brand.lower() if brand else text_or_none(it, "type"),
        last4=last4,
        title=title,
        expires=f"{year}-{month}" if year and month else None,
    )


# ---- a card that is saved without a payment ------------------------------------------------------------------

BINDING: Final = "method:"
"""Begins our reference to a card that is verified and saved without a payment: YooKassa's id of it follows."""

_BINDING_STATES: Final = {"pending": PaymentState.PENDING, "active": PaymentState.SUCCEEDED}


def is_binding(ref: PaymentRef) -> bool:
    return ref.provider_payment_id.startswith(BINDING)


def binding_of(body: object, currency: str, *, livemode: bool) -> PaymentSnapshot:
    """A saved card as a payment of nothing. It carries no metadata, no time and no test mark. Raises Unreadable."""
    it, nothing = mapping(body), zero(currency)
    return PaymentSnapshot(
        ref=PaymentRef(provider=NAME, provider_payment_id=BINDING + text(it, "id")),
        state=_BINDING_STATES.get(text(it, "status"), PaymentState.EXPIRED),
        amount=nothing,
        captured=nothing,
        refunded=nothing,
        payment_id=None,
        order_id=None,
        checkout_url=checkout_link(mapping(it.get("confirmation")), "confirmation_url"),
        saved_method=_saved(it),
        livemode=livemode,
    )


# ---- the answer against the question -----------------------------------------------------------------------


def payment_for(asked: CheckoutRequest | ChargeRequest, answered: PaymentSnapshot) -> PaymentSnapshot:
    """Raises AnswerMismatch for another payment or amount than requested: it must not be settled as this one."""
    same("amount", asked.amount, answered.amount)
    same("payment_id", asked.payment_id, answered.payment_id)
    same("order_id", asked.order_id, answered.order_id)
    return answered


def with_link(answered: PaymentSnapshot, exchange: Exchange) -> PaymentSnapshot:
    """Raises AnswerMismatch for a link that is not safe to follow."""
    if answered.checkout_url is None and mapping(exchange.body.get("confirmation")).get("confirmation_url"):
        raise AnswerMismatch(NAME, "checkout_link_refused", "the link is neither https nor on this machine")
    return answered


def refund_for(asked: RefundRequest, amount: Money, answered: RefundSnapshot) -> RefundSnapshot:
    same("refund_id", asked.refund_id, answered.our_refund_id)
    same("payment", asked.payment.provider_payment_id, answered.payment.provider_payment_id)
    same("amount", amount, answered.amount)
    return answered


def of_ref(asked: PaymentRef, answered: PaymentSnapshot) -> PaymentSnapshot:
    same("payment", asked.provider_payment_id, answered.ref.provider_payment_id)
    return answered


def same(what: str, asked: object, answered: object) -> None:
    """Raises AnswerMismatch."""
    if asked != answered:
        raise AnswerMismatch(NAME, f"other_{what}", f"asked for {asked}, answered {answered}")
