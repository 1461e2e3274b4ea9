"""What a paid order gives, whatever it was for. Each billing reason composes its delivery of these steps."""

from __future__ import annotations

from shared_lib.billing import facts
from shared_lib.billing.case import Case, PlaceVacated
from shared_lib.billing.context import SettlementContext
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus, access_end
from shared_lib.domain.order import ORDER, Order, OrderEvent
from shared_lib.domain.payment import Payment
from shared_lib.domain.values import replace
from shared_lib.ids import new_id


def paid(case: Case, order: Order, payment: Payment) -> Order:
    """The order as it is once this payment has paid it."""
    return replace(
        order,
        status=ORDER.after(order.status, OrderEvent.PAYMENT_SUCCEEDED),
        paid_payment_id=payment.id,
        paid_at=case.now,
    )


def close_others(case: Case, payment: Payment) -> Case:
    """Other live attempts: their links must be closed, and what they capture all the same goes back."""
    others = [
        replace(other, surplus=True, lease=other.lease.due_at(case.now))
        for other in case.payments_of(case.order_of(payment))
        if other.is_live and other.id != payment.id
    ]
    return case.put(*others) if others else case


def take_place(case: Case, order: Order, context: SettlementContext) -> tuple[Case, Order]:
    """The order, just paid, has its place from now on; what another order had it for is over."""
    if order.holds:
        return case, order
    if former := context.former_holder(order):
        here = case.orders.get(former)
        case = case.put(replace(here, holds=False)) if here else case.record(PlaceVacated(former))
    return case, replace(order, holds=True)


def grant(case: Case, order: Order, payment: Payment, trace: str | None) -> Case:
    """The order is paid and access begins, with the facts of both."""
    entitlement = Entitlement(
        id=new_id("ent"),
        customer_id=order.customer_id,
        product_id=order.product_id,
        order_id=order.id,
        subscription_id=order.subscription_id,
        kind=order.kind,
        status=EntitlementStatus.ACTIVE,
        starts_at=order.period_start or case.now,
        ends_at=access_end(order.kind, case.now, order.period_end),
    )
    return case.put(order, entitlement).record(
        facts.order_paid(order, trace),
        facts.payment_succeeded(payment, order, trace),
        facts.entitlement_granted(entitlement, order, trace),
    )
