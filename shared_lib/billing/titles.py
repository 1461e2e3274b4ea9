"""Purchases and rentals: what becomes of an order for a title."""

from __future__ import annotations

from datetime import datetime

from shared_lib.billing import delivery
from shared_lib.billing.case import Case
from shared_lib.billing.closing import close_unpaid, closing_event
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.links import open_page_to_confirm
from shared_lib.billing.reason import Reason
from shared_lib.billing.reports import PaymentReport
from shared_lib.domain.order import Order, OrderEvent, OrderStatus
from shared_lib.domain.payment import Payment, PaymentEvent


def may_deliver(case: Case, order: Order, _payment: Payment, context: SettlementContext) -> bool:
    return context.may_take(case, order)


def deliver(
    case: Case, order: Order, payment: Payment, context: SettlementContext, report: PaymentReport
) -> Case:
    case = delivery.close_others(case, payment)
    case, order = delivery.take_place(case, delivery.paid(case, order, payment), context)
    return delivery.grant(case, order, payment, report.trace)


def declined(
    case: Case, order: Order, payment: Payment, _context: SettlementContext, report: PaymentReport
) -> tuple[Case, datetime | None]:
    """A page for the same order where that can help, else the order ends."""
    page = open_page_to_confirm(case, order, payment, report.trace)
    return page or close_unpaid(case, order, OrderEvent.CANCELED), None


def abandoned(case: Case, order: Order, _payment: Payment, event: PaymentEvent) -> Case:
    return close_unpaid(case, order, closing_event(case, order, event))


def not_needed(case: Case, order: Order, _payment: Payment, *, as_asked: bool) -> Case:  # noqa: ARG001  # as for a renewal
    """An order that waited for this money waits no longer."""
    return close_unpaid(case, order, OrderEvent.CANCELED) if order.status is OrderStatus.PENDING else case


TITLES = Reason(
    takes_place=True,
    customer_cancels=True,
    uses_trial=lambda _case, _order: False,
    may_collect=lambda _case, _order, _payment: True,
    may_deliver=may_deliver,
    deliver=deliver,
    declined=declined,
    abandoned=abandoned,
    not_needed=not_needed,
    handed_over=lambda case, _order, _payment: case,  # the customer is on the page already
)
