"""Reads Stripe's objects: a Checkout Session or a PaymentIntent is a payment, a Refund a refund. No I/O.

A payment on a page is its session (`cs_`), and its intent is the capture id; a charge without a page is its intent (`pi_`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from shared_lib.providers.base import (
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
)
from shared_lib.providers.reading import Unreadable, checkout_link, mapping, member, text, text_or_none
from shared_lib.providers.stripe.amounts import NAME, amount_in, ours
from shared_lib.providers.stripe.declines import decline_of

FLOW: Final = "boxoffice_flow"
CHECKOUT: Final = "checkout"
"""The metadata of an intent that belongs to a page: the session speaks for it."""

_INTENT_STATES: Final[Mapping[str, PaymentState]] = {
    "succeeded": PaymentState.SUCCEEDED,
    "processing": PaymentState.PENDING,
    "requires_confirmation": PaymentState.PENDING,
    "requires_capture": PaymentState.PENDING,  # we never ask for it
    "requires_action": PaymentState.ACTION_REQUIRED,
    "canceled": PaymentState.CANCELED,
}
_YEARS: Final = range(2000, 2200)

log = logging.getLogger(__name__)


def id_of(value: object) -> str | None:
    """The id of an object that may be expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return None if found is None else text({"id": found}, "id")


def of_a_page(intent: Mapping[str, Any]) -> bool:
    return mapping(intent.get("metadata")).get(FLOW) == CHECKOUT


def session_payment(body: object) -> PaymentSnapshot:
    """A Checkout Session with its intent expanded. Raises Unreadable."""
    it = mapping(body)
    metadata, intent, setup = (
        mapping(it.get(name)) for name in ("metadata", "payment_intent", "setup_intent")
    )
    # A session that only saves a card has no amount, and may have no currency.
    currency = text_or_none(it, "currency") or text(metadata, "currency")
    state, amount = _session_state(it, intent), amount_in(it, "amount_total", currency)
    captured = amount_in(intent, "amount_received", currency)
    if not intent and state is PaymentState.SUCCEEDED:
        captured = amount
    declined = state is PaymentState.DECLINED
    return PaymentSnapshot(
        ref=PaymentRef(
            provider=NAME, provider_payment_id=text(it, "id"), capture_id=id_of(it.get("payment_intent"))
        ),
        state=state,
        amount=amount,
        captured=captured,
        refunded=amount_in(mapping(intent.get("latest_charge")), "amount_refunded", currency),
        payment_id=text_or_none(metadata, "payment_id"),
        order_id=text_or_none(metadata, "order_id"),
        checkout_url=checkout_link(it, "url"),
        expires_at=_second(it, "expires_at"),
        saved_method=method_of(mapping((setup or intent).get("payment_method"))),
        decline=decline_of(mapping(intent.get("last_payment_error"))) if declined else None,
        created_at=_second(it, "created"),
        livemode=it.get("livemode") is True,
    )


def intent_payment(body: object) -> PaymentSnapshot:
    """A PaymentIntent. What is not expanded (what was given back, the card) counts as not there. Raises Unreadable."""
    it = mapping(body)
    metadata, currency, id_ = mapping(it.get("metadata")), text(it, "currency"), text(it, "id")
    failed = mapping(it.get("last_payment_error"))
    state = _intent_state(it, failed)
    return PaymentSnapshot(
        ref=PaymentRef(provider=NAME, provider_payment_id=id_, capture_id=id_),
        state=state,
        amount=ours(it.get("amount"), currency),
        captured=amount_in(it, "amount_received", currency),
        refunded=amount_in(mapping(it.get("latest_charge")), "amount_refunded", currency),
        payment_id=text_or_none(metadata, "payment_id"),
        order_id=text_or_none(metadata, "order_id"),
        saved_method=method_of(mapping(it.get("payment_method"))),
        decline=decline_of(failed) if state is PaymentState.DECLINED else None,
        created_at=_second(it, "created"),
        livemode=it.get("livemode") is True,
    )


def refund_of(body: object, payment_id: str) -> RefundSnapshot:
    """A Refund of the payment that Stripe calls `payment_id`. Raises Unreadable."""
    it = mapping(body)
    intent = id_of(it.get("payment_intent"))
    return RefundSnapshot(
        provider_refund_id=text(it, "id"),
        our_refund_id=text_or_none(mapping(it.get("metadata")), "refund_id"),
        payment=PaymentRef(provider=NAME, provider_payment_id=payment_id, capture_id=intent),
        state=member(it, "status", RefundState.PENDING),
        amount=ours(it.get("amount"), text(it, "currency")),
        reason=text_or_none(it, "failure_reason"),
        created_at=_second(it, "created"),
    )


def method_of(it: Mapping[str, Any]) -> SavedMethodRef | None:
    """A payment method that may be charged again: one that belongs to a customer. Raises Unreadable."""
    customer = id_of(it.get("customer"))
    if customer is None:
        return None
    kind = text(it, "type")
    card = mapping(it.get(kind))
    brand, last4 = text_or_none(card, "brand") or kind, text_or_none(card, "last4")
    return SavedMethodRef(
        provider=NAME,
        method_id=text(it, "id"),
        customer_id=customer,
        brand=brand,
        last4=last4,
        title=f"{brand.title()} •{last4}" if last4 else brand.title(),
        expires=_expires(card),
        fingerprint=text_or_none(card, "fingerprint"),
    )


def _session_state(it: Mapping[str, Any], intent: Mapping[str, Any]) -> PaymentState:
    match it.get("status"), it.get("payment_status"):
        case "expired", _:
            return PaymentState.EXPIRED
        case "complete", "paid" | "no_payment_required":
            return PaymentState.SUCCEEDED
        case "complete", "unpaid" if intent.get("status") == "requires_payment_method":
            return PaymentState.DECLINED  # a bank that answers later has refused, and the page is closed
        case ("open", _) | ("complete", "unpaid"):
            return PaymentState.PENDING
        case status, paid:
            both = f"{str(status)[:40]}, {str(paid)[:40]}"
            log.warning("provider says %s=%r, taken for %r", "session", both, PaymentState.PENDING.value)
            return PaymentState.PENDING


def _intent_state(it: Mapping[str, Any], failed: Mapping[str, Any]) -> PaymentState:
    status = text(it, "status")
    if status == "requires_payment_method":  # nothing was tried yet, or the last try failed
        return PaymentState.DECLINED if failed else PaymentState.PENDING
    if status not in _INTENT_STATES:
        log.warning("provider says %s=%r, taken for %r", "intent", status[:40], PaymentState.PENDING.value)
    return _INTENT_STATES.get(status, PaymentState.PENDING)


def _expires(card: Mapping[str, Any]) -> str | None:
    month, year = card.get("exp_month"), card.get("exp_year")
    if not isinstance(month, int) or not isinstance(year, int):
        return None
    if month not in range(1, 13) or year not in _YEARS:
        raise Unreadable("exp_month")
    return f"{year:04}-{month:02}"


def _second(body: Mapping[str, Any], name: str) -> datetime | None:
    """Seconds since 1970."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**33:
        raise Unreadable(name)
    moment = datetime.fromtimestamp(value, UTC)
    if moment.year not in _YEARS:
        raise Unreadable(name)
    return moment
