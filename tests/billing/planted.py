"""Plausible bugs of the decisions, to be planted one at a time: random histories must find each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bug:
    """`code`, found once in the file of shared_lib, becomes `instead`."""

    name: str
    file: str
    code: str
    instead: str


BUGS: Final = (
    Bug(
        "surplus is not reserved, so it could be returned twice",
        "billing/surplus.py",
        "payment = replace(payment, surplus=True, refund_reserved_minor=payment.captured_minor)",
        "payment = replace(payment, surplus=True)",
    ),
    Bug(
        "money that no order needs is never asked back",
        "billing/surplus.py",
        "return _return(case, payment, captured.minor - returned_minor, trace)",
        "return case",
    ),
    Bug(
        "a failed refund keeps its reservation",
        "billing/refunds.py",
        "reserved = payment.refund_reserved_minor - (0 if refund.surplus else refund.amount.minor)",
        "reserved = payment.refund_reserved_minor",
    ),
    Bug(
        "access goes on after a refund that ends it",
        "billing/refunds.py",
        "return case if refund.surplus else end_access(_restate_order(case, refund), refund)",
        "return case if refund.surplus else _restate_order(case, refund)",
    ),
    Bug(
        "a renewal is charged after its customer opted out",
        "billing/renewals.py",
        "return unpaid and subscription.status in RENEWABLE and (subscription.auto_renew or by_customer)",
        "return unpaid and subscription.status in RENEWABLE",
    ),
    Bug(
        "a retry charges what the subscription costs by now",
        "billing/attempts.py",
        "amount=order.amount,",
        "amount=case.subscription.amount if case.subscription and order.amount else order.amount,",
    ),
    Bug(
        "the open order of a subscription that ends waits on",
        "billing/renewals.py",
        "if open_order and open_order.status is OrderStatus.PENDING:",
        "if open_order and open_order.status is OrderStatus.PAID:",
    ),
    Bug(
        "a payment without an answer is not looked at again",
        "billing/waiting.py",
        "waiting = replace(payment, lease=payment.lease.again(at))",
        "waiting = replace(payment, lease=payment.lease.again(at if checks < 3 else None))",
    ),
    Bug(
        "an older snapshot takes captured money away",
        "billing/payments.py",
        "captured_minor=max(payment.captured_minor, outcome.captured.minor),",
        "captured_minor=outcome.captured.minor,",
    ),
    Bug(
        "less money than was asked for is enough",
        "billing/reports.py",
        "if snapshot.state is PaymentState.SUCCEEDED and snapshot.amount == payment.amount == snapshot.captured:",
        "if snapshot.state is PaymentState.SUCCEEDED:",
    ),
    Bug(
        "late money is delivered although another order has the place",
        "billing/context.py",
        "if place in self.owned or (kind is PriceKind.RENTAL and bought):",
        "if kind is PriceKind.RENTAL and bought:",
    ),
    Bug(
        "further objects of the provider are dropped when the first is another one",
        "billing/payments.py",
        "        settled = _settle_another(case, payment, report, outcome, context)\n    else:",
        "        return _settle_another(case, payment, report, outcome, context)\n    else:",
    ),
    Bug(
        "a trial that was used begins again",
        "billing/payments.py",
        "if not context.trials.may_begin(order):",
        "if not context.trials:",
    ),
    Bug(
        "a paid renewal stays the open one",
        "billing/renewals.py",
        "        open_order_id=None,\n        past_due_at=None,",
        "        past_due_at=None,",
    ),
)
