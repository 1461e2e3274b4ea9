"""What a provider's snapshot proves about a payment of ours. Pure.

Delivered is for exactly what was asked: the state says succeeded, and the captured amount and its currency are those of
the payment. Everything else that a snapshot says about money is first asked about (a webhook is not an answer), and what
the provider confirms is booked and returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared_lib.billing.reports import PaymentSnapshot, PaymentState
from shared_lib.domain.payment import Payment, PaymentStatus

_NO_MONEY = frozenset({PaymentState.DECLINED, PaymentState.CANCELED, PaymentState.EXPIRED})


class Proof(StrEnum):
    AS_ASKED = "as_asked"  # walk the edge of the state machine
    OLD_NEWS = "old_news"  # money that is booked already
    OTHER_MONEY = "other_money"  # captured, but not as asked: book it and return it
    MORE_MONEY = "more_money"  # a payment that has succeeded captured more
    CONTRADICTION = "contradiction"  # cannot be believed as it came: ask the provider


@dataclass(frozen=True, slots=True)
class Finding:
    """`why` is for the log."""

    proof: Proof
    why: str = ""


def is_about_another(payment: Payment, snapshot: PaymentSnapshot) -> bool:
    """The provider's object is not the one that this payment is, although it carries the payment's id."""
    if snapshot.ref.provider != payment.provider:
        return True
    return payment.provider_ref not in (None, snapshot.ref.provider_payment_id)


def judge(payment: Payment, snapshot: PaymentSnapshot, *, asked: bool) -> Finding:
    """`asked`: the provider answered our question just now. A webhook may be old, or wrong, and is no such answer."""
    captured = snapshot.captured.minor
    if captured and snapshot.captured.currency != snapshot.amount.currency:
        return Finding(Proof.CONTRADICTION, f"captured {snapshot.captured} of {snapshot.amount}")
    if payment.status is PaymentStatus.SUCCEEDED:
        return _of_a_settled_one(payment, snapshot, asked=asked)
    if not captured:
        nothing_taken = snapshot.state in _NO_MONEY and asked
        if snapshot.state is PaymentState.SUCCEEDED and (payment.amount or snapshot.amount):
            return Finding(Proof.CONTRADICTION, _differs(payment, snapshot))
        if snapshot.amount == payment.amount or nothing_taken:
            return Finding(Proof.AS_ASKED)
        return Finding(Proof.CONTRADICTION, _differs(payment, snapshot))
    if snapshot.state is PaymentState.SUCCEEDED and snapshot.amount == payment.amount == snapshot.captured:
        return Finding(Proof.AS_ASKED)
    return Finding(Proof.OTHER_MONEY if asked else Proof.CONTRADICTION, _differs(payment, snapshot))


def _differs(payment: Payment, snapshot: PaymentSnapshot) -> str:
    return f"{snapshot.state}, captured {snapshot.captured} of {snapshot.amount}; asked for {payment.amount}"


def _of_a_settled_one(payment: Payment, snapshot: PaymentSnapshot, *, asked: bool) -> Finding:
    """Captured money outranks every other report, and only grows: less than is booked is an older snapshot."""
    why = f"captured {snapshot.captured}; {payment.captured_minor} is booked"
    if snapshot.captured.minor and snapshot.captured.currency != payment.amount.currency:
        return Finding(Proof.CONTRADICTION, why)
    if snapshot.captured.minor <= payment.captured_minor:
        return Finding(Proof.OLD_NEWS)
    return Finding(Proof.MORE_MONEY if asked else Proof.CONTRADICTION, why)
