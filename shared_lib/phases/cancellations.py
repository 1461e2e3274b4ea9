"""A customer cancels an order before paying: the checkout must be closed at its provider before that is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import Payment
from shared_lib.domain.schedule import LEASE
from shared_lib.domain.values import replace
from shared_lib.phases.claims import Claimed
from shared_lib.phases.desk import Desk
from shared_lib.store.transaction import Transaction

_DONE = (OrderStatus.CANCELED, OrderStatus.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    customer_id: str
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCancellation:
    """`to_ask`: the payment to close at its provider, under our lease. None when there is nothing left to close."""

    order: Order
    payment: Payment | None
    to_ask: Claimed | None


async def open_cancellations(
    tx: Transaction, wanted: Sequence[CancelOrder]
) -> list[OpenedCancellation | Refusal]:
    """Lease the payments whose checkouts are to be closed. A renewal is not canceled here: its customer opts out."""
    desk = Desk(tx)
    await desk.lock([want.order_id for want in wanted])
    answers = [_open(desk, want) for want in wanted]
    desk.write()
    return answers


def _open(desk: Desk, want: CancelOrder) -> OpenedCancellation | Refusal:
    order = desk.orders.get(want.order_id)
    if order is None or order.customer_id != want.customer_id:
        return Refusal(Code.NOT_FOUND, "There is no such order.")
    payments = sorted(desk.payments_of(order.id), key=lambda payment: payment.attempt)
    latest = payments[-1] if payments else None
    if order.status in _DONE:
        return OpenedCancellation(order=order, payment=latest, to_ask=None)
    if order.status is not OrderStatus.PENDING or order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
        return Refusal(
            Code.ORDER_NOT_CANCELABLE, "Only an order that waits for its first payment can be canceled."
        )
    # One that is unknown is asked about under our lease like any other.
    if latest is None or _leased(desk, latest):
        return Refusal(Code.PAYMENT_UNRESOLVED, "The provider is being asked right now.", retry_after_s=5)
    leased = replace(
        latest,
        fence=latest.fence + 1,
        lease_until=desk.now + LEASE,
        next_check_at=desk.now + LEASE,
    )
    desk.put(leased)
    claimed = Claimed(
        payment=leased,
        status_before=latest.status,
        order=order,
        method=None,
        email=None,
        wanted=False,
        now=desk.now,
        by_customer=True,
    )
    return OpenedCancellation(order=order, payment=leased, to_ask=claimed)


def _leased(desk: Desk, payment: Payment) -> bool:
    return payment.lease_until is not None and payment.lease_until > desk.now
