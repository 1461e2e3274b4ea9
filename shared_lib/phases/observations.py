"""What a provider said about a payment or a refund, in the words of our state machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment, PaymentEvent
from shared_lib.domain.refund import Refund, RefundEvent
from shared_lib.providers.base import PaymentSnapshot, PaymentState, RefundSnapshot, RefundState
from shared_lib.store.keys import Key, SavedReply


class Silence(StrEnum):
    """What we know when the provider gave no answer that can be believed."""

    TIMED_OUT = "timed_out"  # it may have been executed
    NOT_SENT = "not_sent"  # surely not executed; the same key may be sent again
    NEVER_HAPPENED = "never_happened"  # the provider has none, and its key's lifetime is over
    NOTHING_DUE = "nothing_due"  # a trial whose method is saved already: there is no money to take
    NO_METHOD = "no_method"  # there is nothing left to charge: only the customer can help
    METHOD_UNKNOWN = "payment_method_unknown"  # the provider has no such card or account (any more)
    TOO_SMALL = "amount_too_small"  # below what the provider charges at all: it was not asked
    INPUT_REFUSED = "input_refused"  # the provider does not take a value that the customer gave
    REFUSED = "refused"  # the provider will never accept this request: our bug, or a feature that is off


Render = Callable[[Order, Payment], SavedReply]
RenderRefund = Callable[[Refund], SavedReply]


@dataclass(frozen=True, kw_only=True)  # without slots, see values.replace
class Observed:
    """News about one payment. `fence` is the lease it was asked under: silence under an old lease means nothing.

    `asked`: the provider answered a question of ours. What a webhook tells is asked about before it is believed when it
    is not what the payment asked for.
    """

    payment_id: str
    said: PaymentSnapshot | Silence
    fence: int | None = None
    asked: bool = False
    answer: tuple[Key, Render] | None = None  # whose waiting request this answers, and how
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRefund:
    """News about one refund."""

    refund_id: str
    said: RefundSnapshot | Silence
    fence: int | None = None
    answer: tuple[Key, RenderRefund] | None = None


def payment_event(said: PaymentSnapshot | Silence) -> PaymentEvent:
    """The edge to walk. An approved payment still waits for us to complete it, so it is pending."""
    if isinstance(said, Silence):
        match said:
            case Silence.TIMED_OUT:
                return PaymentEvent.TIMED_OUT
            case Silence.NOT_SENT:
                return PaymentEvent.NOT_SENT
            case Silence.NEVER_HAPPENED | Silence.REFUSED | Silence.INPUT_REFUSED:
                return PaymentEvent.CANCELED
            case Silence.NO_METHOD | Silence.METHOD_UNKNOWN | Silence.TOO_SMALL:
                return PaymentEvent.DECLINED
            case Silence.NOTHING_DUE:
                return PaymentEvent.SUCCEEDED
            case _ as unreachable:
                assert_never(unreachable)
    match said.state:
        case PaymentState.PENDING | PaymentState.APPROVED:
            return PaymentEvent.WENT_PENDING
        case PaymentState.ACTION_REQUIRED:
            return PaymentEvent.NEEDS_ACTION
        case PaymentState.SUCCEEDED:
            return PaymentEvent.SUCCEEDED
        case PaymentState.DECLINED:
            return PaymentEvent.DECLINED
        case PaymentState.CANCELED:
            return PaymentEvent.CANCELED
        case PaymentState.EXPIRED:
            return PaymentEvent.EXPIRED
        case _ as unreachable_state:
            assert_never(unreachable_state)


def refund_event_of(said: RefundSnapshot | Silence) -> RefundEvent:
    if isinstance(said, Silence):
        match said:
            case Silence.TIMED_OUT:
                return RefundEvent.TIMED_OUT
            case Silence.NOT_SENT:
                return RefundEvent.NOT_SENT
            case Silence.NEVER_HAPPENED | Silence.REFUSED | Silence.INPUT_REFUSED:
                return RefundEvent.FAILED
            case Silence.NO_METHOD | Silence.METHOD_UNKNOWN | Silence.TOO_SMALL | Silence.NOTHING_DUE:
                return RefundEvent.FAILED
            case _ as unreachable:
                assert_never(unreachable)
    match said.state:
        case RefundState.PENDING | RefundState.ACTION_REQUIRED:
            return RefundEvent.WENT_PENDING
        case RefundState.SUCCEEDED:
            return RefundEvent.SUCCEEDED
        case RefundState.FAILED | RefundState.CANCELED:
            return RefundEvent.FAILED
        case _ as unreachable_state:
            assert_never(unreachable_state)
