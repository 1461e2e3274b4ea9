"""An order that only its customer can pay: one live checkout for it; a renewal's as long as dunning lasts. On locked rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow, PaymentStatus
from shared_lib.ids import new_id
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk

# After a checkout that its customer closed, or that could not be opened: the next one comes later each time.
OPEN_AGAIN = tuple(timedelta(minutes=m) for m in (10, 60, 360, 1440))

NO_METHOD, METHOD_UNKNOWN = "no_payment_method", "payment_method_unknown"
PROVIDER_REFUSED, TOO_SMALL = "provider_refused", "amount_too_small"


class Why(StrEnum):
    """Why a customer is asked to pay a renewal on a page; the mail says it."""

    CONFIRM = "confirm"  # the bank wants to be sure that it is them
    NO_METHOD = "no_method"  # there is no card or account left to charge
    REFUSED = "refused"  # the provider does not charge it, for no fault of the customer
    DECLINED = "declined"  # by the bank, for good: this card is not charged again
    TRIES_OVER = "tries_over"  # by the bank, every time


def open_link(desk: Desk, order: Order, *, job_at: datetime | None = None, trace: str | None = None) -> None:
    """Open a checkout for the order, unless a payment of it is live: there are never two. A renewal's link is mailed.

    `job_at`: when its job asks for the page; None: at once.
    """
    attempts = desk.payments_of(order.id)
    if order.status is not OrderStatus.PENDING or any(payment.is_live for payment in attempts):
        return
    payment = Payment(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow=PaymentFlow.CHECKOUT,
        status=PaymentStatus.CREATED,
        amount=order.amount,
        attempt=1 + max((payment.attempt for payment in attempts), default=0),
        created_at=desk.now,
        next_check_at=desk.now + timedelta(minutes=1),
    )
    desk.put(payment)
    desk.ask_for(facts.start_payment_job(payment, order.customer_id, job_at, trace))


def is_customers_turn(desk: Desk, order_id: str) -> bool:
    """The customer was given a link for the order: its saved method is not charged any more."""
    return bool(_links(desk, order_id))


def wait_for_next(desk: Desk, order_id: str) -> timedelta:
    """How long after a checkout that came to nothing another one is opened."""
    return OPEN_AGAIN[min(len(_links(desk, order_id)), len(OPEN_AGAIN)) - 1]


def is_first(desk: Desk, order_id: str) -> bool:
    return len(_links(desk, order_id)) == 1


def live_link(desk: Desk, order_id: str | None) -> str | None:
    """Where the customer can pay the order now."""
    live = (payment for payment in desk.payments_of(order_id or "") if payment.is_live)
    return next((payment.checkout_url for payment in live if payment.checkout_url), None)


def why(desk: Desk, payment: Payment) -> Why:
    """`payment` brings the link; the last charge says what was wrong."""
    charges = [one for one in desk.payments_of(payment.order_id) if one.flow is PaymentFlow.CHARGE]
    if payment.flow is PaymentFlow.CHARGE or not charges:
        return Why.CONFIRM
    last = max(charges, key=lambda one: one.attempt)
    if last.decline_reason in (NO_METHOD, METHOD_UNKNOWN):
        return Why.NO_METHOD
    if last.decline_reason in (PROVIDER_REFUSED, TOO_SMALL):
        return Why.REFUSED
    match last.decline_kind:
        case DeclineKind.HARD:
            return Why.DECLINED
        case DeclineKind.SOFT:
            return Why.TRIES_OVER
        case DeclineKind.ACTION_REQUIRED | None:
            return Why.CONFIRM


def _links(desk: Desk, order_id: str) -> list[Payment]:
    """Checkouts, and charges that their provider held until the customer would confirm them on a page."""
    return [one for one in desk.payments_of(order_id) if one.flow is PaymentFlow.CHECKOUT or one.checkout_url]
