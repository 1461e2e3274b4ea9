"""A payment that is not decided yet: when reconcile asks about it again, and what its customer reads. On locked rows."""

from __future__ import annotations

from datetime import timedelta

from shared_lib.domain.order import BillingReason
from shared_lib.domain.payment import PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import ask_unknown_at, look_at_open_at, send_again_at
from shared_lib.domain.subscription import RENEWABLE
from shared_lib.domain.values import replace
from shared_lib.phases import cycles, facts, links
from shared_lib.phases.desk import Desk
from shared_lib.providers.base import PaymentSnapshot

# The provider closes a link a moment after its end.
LINK_SLACK = timedelta(minutes=1)


def wait(
    desk: Desk, payment_id: str, event: PaymentEvent, trace: str | None, said: PaymentSnapshot | None = None
) -> None:
    """Come back later. A payment whose customer waits for a link is also asked for through the bus."""
    payment = desk.payments[payment_id]
    order = desk.orders[payment.order_id]
    match payment.status:
        case PaymentStatus.UNKNOWN:
            at = ask_unknown_at(desk.now, payment.checks)
        case PaymentStatus.CREATED:
            at = send_again_at(desk.now, payment.checks)
        case _:
            link_until = said.expires_at + LINK_SLACK if said and said.expires_at else order.expires_at
            at = look_at_open_at(desk.now, payment.checks, order.expires_at, link_until)
    first_silence = event in (PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT) and payment.checks == 0
    desk.put(replace(payment, next_check_at=at, checks=payment.checks + 1, lease_until=None))
    if event is PaymentEvent.TIMED_OUT and first_silence:
        unknown = facts.of_payment(desk.payments[payment_id], order)
        desk.tell_of_order("billing.payment.unknown", order.id, unknown, trace)
    if first_silence and payment.flow is PaymentFlow.CHECKOUT:
        desk.ask_for(facts.start_payment_job(payment, order.customer_id, at, trace))


def handed_to_customer(desk: Desk, payment_id: str) -> None:
    """A renewal that only its customer can finish: tell them where."""
    payment = desk.payments[payment_id]
    order = desk.orders[payment.order_id]
    if order.billing_reason is not BillingReason.SUBSCRIPTION_CYCLE or not payment.checkout_url:
        return
    told = facts.of_payment(
        payment,
        order,
        checkout_url=payment.checkout_url,
        why=links.why(desk, payment),
        again=payment.flow is PaymentFlow.CHECKOUT and not links.is_first(desk, order.id),
    )
    desk.tell_of_order("billing.payment.action_required", order.id, told)
    if (
        payment.flow is PaymentFlow.CHARGE
        and desk.subscriptions[order.subscription_id or ""].status in RENEWABLE
    ):
        cycles.waits_for_customer(desk, payment)
