"""The questions that every billing reason answers. `reasons.py` has the table of the answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from shared_lib.billing.case import Case
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.reports import PaymentReport, PaymentSnapshot
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment, PaymentEvent
from shared_lib.domain.values import Value


class NotNeeded(Protocol):
    def __call__(self, case: Case, order: Order, payment: Payment, /, *, as_asked: bool) -> Case: ...


class Reason(Value, kw_only=True):
    """What an order of one billing reason makes of its payments. The payment that is passed is in the case as it is."""

    takes_place: bool
    """It is for something that its customer has once at a time."""
    customer_cancels: bool
    """Its customer may cancel it before it is paid. A renewal is not canceled: its customer opts out."""
    uses_trial: Callable[[Case, Order], bool]
    """Paying it begins a trial."""
    may_collect: Callable[[Case, Order, Payment], bool]
    """The order, which waits for its money, may still be asked for through this payment."""
    may_deliver: Callable[[Case, Order, Payment, SettlementContext], bool]
    """What was ordered can still be given for this money. Late money is welcome while it can."""
    deliver: Callable[[Case, Order, Payment, SettlementContext, PaymentReport], Case]
    """Pay the order with this payment and give what it is for."""
    declined: Callable[[Case, Order, Payment, SettlementContext, PaymentReport], tuple[Case, datetime | None]]
    """A bank declined it. Also: when the same method is charged again."""
    abandoned: Callable[[Case, Order, Payment, PaymentEvent], Case]
    """The payment ended without money and without a bank's answer."""
    not_needed: NotNeeded
    """Its money came and goes back. `as_asked` False: another amount was captured than the order needs."""
    handed_over: Callable[[Case, Order, Payment], Case]
    """Only the customer can finish the payment: is a mail needed to reach them?"""


def paying_method(payment: Payment, context: SettlementContext, report: PaymentReport) -> str | None:
    """Our id of the method that can be charged for what comes after this payment."""
    brought = context.method_id(report.outcome) if isinstance(report.outcome, PaymentSnapshot) else None
    return brought or payment.payment_method_id
