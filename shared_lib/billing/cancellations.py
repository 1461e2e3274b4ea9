"""A customer cancels an order before paying: its checkout is closed at the provider before the order ends."""

from __future__ import annotations

from typing import Final

from shared_lib.billing.attempts import latest_attempt
from shared_lib.billing.case import Case
from shared_lib.billing.leasing import LeasedPayment, Purpose
from shared_lib.billing.reasons import reason_of
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.order import Order, OrderStatus
from shared_lib.domain.payment import Payment
from shared_lib.domain.values import Value, replace

_ENDED: Final = (OrderStatus.CANCELED, OrderStatus.EXPIRED)


class CancelOrder(Value, kw_only=True):
    customer_id: str
    order_id: str


class OpenedCancellation(Value, kw_only=True):
    """`to_ask`: the payment to close at its provider, under our lease. None when there is nothing left to close."""

    order: Order
    payment: Payment | None
    to_ask: LeasedPayment | None


def open_cancellation(case: Case, order: Order) -> tuple[Case, OpenedCancellation | Refusal]:
    """Lease the payment whose checkout is to be closed. A renewal is not canceled here: its customer opts out."""
    latest = latest_attempt(case, order)
    if order.status in _ENDED:
        return case, OpenedCancellation(order=order, payment=latest, to_ask=None)
    if order.status is not OrderStatus.PENDING or not reason_of(order).customer_cancels:
        return case, Refusal(
            Code.ORDER_NOT_CANCELABLE, "Only an order that waits for its first payment can be canceled."
        )
    # One that is unknown is asked about under our lease like any other.
    if latest is None or latest.lease.is_held(case.now):
        asking = "The provider is being asked right now."
        return case, Refusal(Code.PAYMENT_UNRESOLVED, asking, retry_after_s=5)
    leased = replace(latest, lease=latest.lease.taken(case.now, to_send=False))
    to_ask = LeasedPayment(
        payment=leased,
        status_before=latest.status,
        order=order,
        method=None,
        email=None,
        purpose=Purpose.CLOSE,
        now=case.now,
        by_customer=True,
    )
    return case.put(leased), OpenedCancellation(order=order, payment=leased, to_ask=to_ask)
