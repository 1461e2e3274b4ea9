"""Which money of an order a refund can return: what paid for it, or a surplus that is held."""

from __future__ import annotations

from shared_lib.billing.case import Case
from shared_lib.billing.surplus import surplus_held, surplus_waiting
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment, PaymentStatus
from shared_lib.domain.values import Value


class Refundable(Value, kw_only=True):
    """`left` may go back. `surplus`: it was never ours, so neither the order nor access follows it."""

    payment: Payment
    left: Money
    surplus: bool


def refundable(
    case: Case, order: Order, payment_id: str | None, *, by_operator: bool
) -> Refundable | Refusal:
    """The payment that is named; else the one that paid the order; else, for an operator, the only one with a surplus."""
    if payment_id is not None:
        named = case.payments.get(payment_id)
        if named is None or named.order_id != order.id:
            return Refusal(Code.NOT_FOUND, "This order has no such payment.")
        return _of(case, named) if named.status is PaymentStatus.SUCCEEDED else _not_paid(case, order)
    if paid := case.payments.get(order.paid_payment_id or ""):
        return Refundable(payment=paid, left=paid.refundable, surplus=False)
    of_each = (_of(case, payment) for payment in case.payments_of(order))
    holding = [found for found in of_each if found.surplus and found.left]
    if not (by_operator and holding):
        return _not_paid(case, order)
    if len(holding) > 1:
        return Refusal(
            Code.BODY_INVALID, "Several payments of this order hold a surplus: name one as payment_id."
        )
    return holding[0]


def _of(case: Case, payment: Payment) -> Refundable:
    """A surplus goes back first. One that waits to be sent again is taken over."""
    held = surplus_held(case, payment) + surplus_waiting(case, payment)
    if payment.surplus or held:
        return Refundable(payment=payment, left=Money(held, payment.amount.currency), surplus=True)
    return Refundable(payment=payment, left=payment.refundable, surplus=False)


def _not_paid(case: Case, order: Order) -> Refusal:
    # The process that was sending it may have died after the provider took the money.
    undecided = (PaymentStatus.SENDING, PaymentStatus.UNKNOWN)
    if any(payment.status in undecided for payment in case.payments_of(order)):
        return Refusal(
            Code.PAYMENT_UNRESOLVED,
            "The payment provider has not confirmed the payment yet.",
            retry_after_s=60,
        )
    return Refusal(Code.ORDER_NOT_PAID, "This order has not been paid.")
