"""What a provider's snapshot proves about a payment of ours. Pure.

Delivered is for exactly what was asked: the state says succeeded, and the captured amount and its currency are those of
the payment. Everything else that a snapshot says about money is first asked about (a webhook is not an answer), and what
the provider confirms is booked and returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared_lib.domain.payment import Payment, PaymentStatus
from shared_lib.providers.base import PaymentSnapshot, PaymentState

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


def is_about_another(payment: Payment, said: PaymentSnapshot) -> bool:
    """The provider's object is not the one that this payment is, although it carries the payment's id."""
    if said.ref.provider != payment.provider:
        return True
    return payment.provider_ref not in (None, said.ref.provider_payment_id)


def judge(payment: Payment, said: PaymentSnapshot, *, asked: bool) -> Finding:
    """`asked`: the provider answered our question just now. A webhook may be old, or wrong, and is no such answer."""
    captured = said.captured.minor
    if captured and said.captured.currency != said.amount.currency:
        return Finding(Proof.CONTRADICTION, f"captured {said.captured} of {said.amount}")
    if payment.status is PaymentStatus.SUCCEEDED:
        return _of_a_settled_one(payment, said, asked=asked)
    if not captured:
        nothing_taken = said.state in _NO_MONEY and asked
        if said.state is PaymentState.SUCCEEDED and (payment.amount or said.amount):
            return Finding(Proof.CONTRADICTION, _differs(payment, said))
        if said.amount == payment.amount or nothing_taken:
            return Finding(Proof.AS_ASKED)
        return Finding(Proof.CONTRADICTION, _differs(payment, said))
    if said.state is PaymentState.SUCCEEDED and said.amount == payment.amount == said.captured:
        return Finding(Proof.AS_ASKED)
    return Finding(Proof.OTHER_MONEY if asked else Proof.CONTRADICTION, _differs(payment, said))


def _differs(payment: Payment, said: PaymentSnapshot) -> str:
    return f"{said.state}, captured {said.captured} of {said.amount}; asked for {payment.amount}"


def _of_a_settled_one(payment: Payment, said: PaymentSnapshot, *, asked: bool) -> Finding:
    """Captured money outranks every other report, and only grows: less than is booked is an older snapshot."""
    why = f"captured {said.captured}; {payment.captured_minor} is booked"
    if said.captured.minor and said.captured.currency != payment.amount.currency:
        return Finding(Proof.CONTRADICTION, why)
    if said.captured.minor <= payment.captured_minor:
        return Finding(Proof.OLD_NEWS)
    return Finding(Proof.MORE_MONEY if asked else Proof.CONTRADICTION, why)
