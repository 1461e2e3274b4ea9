"""A payment that is not decided yet: when reconcile asks about it again."""

from __future__ import annotations

from datetime import timedelta

from shared_lib.billing import facts, jobs
from shared_lib.billing.case import Case
from shared_lib.billing.reports import PaymentSnapshot
from shared_lib.domain.payment import Payment, PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import ask_unknown_at, look_at_open_at, send_again_at
from shared_lib.domain.values import replace

# The provider closes a link a moment after its end.
LINK_SLACK = timedelta(minutes=1)

STILL_WAITING = frozenset({PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT, PaymentEvent.WENT_PENDING})
"""Events that leave a payment undecided."""


def wait(
    case: Case,
    payment: Payment,
    event: PaymentEvent,
    trace: str | None,
    snapshot: PaymentSnapshot | None = None,
) -> Case:
    """Come back later. A payment whose customer waits for a link is also asked for by a job."""
    order, checks = case.order_of(payment), payment.lease.checks
    match payment.status:
        case PaymentStatus.UNKNOWN:
            at = ask_unknown_at(case.now, checks)
        case PaymentStatus.CREATED:
            at = send_again_at(case.now, checks)
        case _:
            ends = snapshot.expires_at + LINK_SLACK if snapshot and snapshot.expires_at else order.expires_at
            at = look_at_open_at(case.now, checks, order.expires_at, ends)
    first_silence = event in (PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT) and checks == 0
    waiting = replace(payment, lease=payment.lease.again(at))
    case = case.put(waiting)
    if event is PaymentEvent.TIMED_OUT and first_silence:
        case = case.record(facts.payment_unknown(waiting, order, trace))
    if first_silence and payment.flow is PaymentFlow.CHECKOUT:
        case = case.record(jobs.start_payment(waiting, order, at, trace))
    return case
