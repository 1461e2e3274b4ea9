"""An order that only its customer can pay: one live checkout for it; a renewal's as long as dunning lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared_lib.billing import jobs
from shared_lib.billing.attempts import next_attempt
from shared_lib.billing.case import Case
from shared_lib.billing.reports import LocalOutcome
from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import DeclineKind, DeclineReason, Payment, PaymentFlow
from shared_lib.domain.schedule import send_again_at

# After a checkout that its customer closed, or that could not be opened: the next one comes later each time.
OPEN_AGAIN = tuple(timedelta(minutes=m) for m in (10, 60, 360, 1440))

NO_METHOD, PROVIDER_REFUSED = "no_payment_method", "provider_refused"


class Why(StrEnum):
    """Why a customer is asked to pay a renewal on a page; the mail says it."""

    CONFIRM = "confirm"  # the bank wants to be sure that it is them
    NO_METHOD = "no_method"  # no card or account was saved
    REMOVED = "removed"  # the card or account was taken away, by its owner or at the provider
    EXPIRED = "expired"  # the card has expired
    REFUSED = "refused"  # the provider does not charge it, for no fault of the customer
    DECLINED = "declined"  # by the bank, for good: this card is not charged again
    TRIES_OVER = "tries_over"  # by the bank, every time


_WHY: Final[Mapping[str, Why]] = {
    NO_METHOD: Why.NO_METHOD,
    LocalOutcome.METHOD_REMOVED: Why.REMOVED,
    LocalOutcome.METHOD_UNKNOWN: Why.REMOVED,
    DeclineReason.METHOD_REMOVED: Why.REMOVED,
    LocalOutcome.METHOD_REFUSED: Why.DECLINED,
    DeclineReason.CARD_EXPIRED: Why.EXPIRED,
    PROVIDER_REFUSED: Why.REFUSED,
    LocalOutcome.TOO_SMALL: Why.REFUSED,
}
"""What a declined payment's reason means for its customer. Any other reason: what its kind means."""


def open_link(case: Case, order: Order, *, job_at: datetime | None = None, trace: str | None = None) -> Case:
    """Open a checkout for the order, unless a payment of it is live: there are never two. A renewal's link is mailed.

    `job_at`: when its job asks for the page; None: at once.
    """
    if order.status is not OrderStatus.PENDING or any(one.is_live for one in case.payments_of(order)):
        return case
    payment = next_attempt(case, order, PaymentFlow.CHECKOUT, check_at=case.now + timedelta(minutes=1))
    return case.put(payment).record(jobs.start_payment(payment, order, job_at, trace))


def is_customers_turn(case: Case, order: Order) -> bool:
    """The customer was given a link for the order: its saved method is not charged any more."""
    return bool(_links(case, order))


def wait_for_next(case: Case, order: Order) -> timedelta:
    """How long after a checkout that was abandoned another one is opened."""
    return OPEN_AGAIN[min(len(_links(case, order)), len(OPEN_AGAIN)) - 1]


def is_first(case: Case, order: Order) -> bool:
    return len(_links(case, order)) == 1


def live_link(case: Case, order: Order | None) -> str | None:
    """Where the customer can pay the order now."""
    live = (payment for payment in case.payments_of(order) if payment.is_live) if order else ()
    return next((payment.checkout_url for payment in live if payment.checkout_url), None)


def why(case: Case, payment: Payment) -> Why:
    """`payment` brings the link; the last charge of its order says what was wrong."""
    attempts = case.payments_of(case.order_of(payment))
    charges = [one for one in attempts if one.flow is PaymentFlow.CHARGE]
    if payment.flow is PaymentFlow.CHARGE or not charges:
        return Why.CONFIRM
    last = max(charges, key=lambda one: one.attempt)
    if known := _WHY.get(last.decline_reason or ""):
        return known
    match last.decline_kind:
        case DeclineKind.HARD:
            return Why.DECLINED
        case DeclineKind.SOFT:
            return Why.TRIES_OVER
        case DeclineKind.ACTION_REQUIRED | None:
            return Why.CONFIRM


def _links(case: Case, order: Order) -> Sequence[Payment]:
    """Checkouts, and charges that their provider held until the customer would confirm them on a page."""
    return [one for one in case.payments_of(order) if one.flow is PaymentFlow.CHECKOUT or one.checkout_url]


def open_page_to_confirm(case: Case, order: Order, payment: Payment, trace: str | None) -> Case | None:
    """A saved method was charged while its customer ordered, and the bank wants to see them: a page for the same order.

    The caller who ordered asks for the page at once; else its job does, then reconcile. None where a page cannot help.
    """
    waits = order.status is OrderStatus.PENDING and order.expires_at > case.now and not payment.surplus
    confirmable = (
        payment.decline_kind is DeclineKind.ACTION_REQUIRED
        and payment.decline_reason != LocalOutcome.TOO_SMALL
    )
    if not (waits and confirmable and payment.flow is PaymentFlow.CHARGE):
        return None
    return open_link(case, order, job_at=send_again_at(case.now, 0), trace=trace)
