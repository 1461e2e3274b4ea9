"""Reports about payments and refunds: a provider's snapshot in neutral words, or what is known without one; and what
a snapshot proves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from msgspec.structs import force_setattr

from shared_lib.billing.replies import Key, SavedReply
from shared_lib.domain.links import followable
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Decline, Payment, PaymentEvent, PaymentStatus
from shared_lib.domain.refund import Refund, RefundEvent
from shared_lib.domain.values import Value


class PaymentRef(Value, kw_only=True):
    """Provider-side address of one payment. Stored whole."""

    provider: str
    provider_payment_id: str  # theirs: cs_/pi_, YooKassa uuid, PayPal order id, tr_
    capture_id: str | None = None  # PayPal capture id, Stripe pi_ once known


class SavedMethodRef(Value, kw_only=True):
    """A token for charging again without the customer. Never card data."""

    provider: str
    method_id: str  # theirs: pm_, YooKassa payment_method.id, PayPal vault id, mdt_
    customer_id: str | None = None  # theirs: cus_, PayPal customer.id, cst_
    brand: str | None = None  # "visa"
    last4: str | None = None
    title: str | None = None  # "Visa •4242", for mails
    expires: str | None = None  # "YYYY-MM"
    fingerprint: str | None = None  # the same card, the same one; hashed behind HashedCards

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Its fields as they may be shown: without the fingerprint, which follows a card from customer to customer."""
        return [(name, value) for name, value in super().__rich_repr__() if name != "fingerprint"]

    def __repr__(self) -> str:
        return f"SavedMethodRef({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class PaymentState(StrEnum):
    PENDING = "pending"  # created or in flight: keep asking
    ACTION_REQUIRED = "action_required"  # the customer has to do something
    APPROVED = "approved"  # the customer consented, WE must complete (PayPal, two-stage)
    SUCCEEDED = "succeeded"  # money taken
    DECLINED = "declined"  # final, has a Decline
    CANCELED = "canceled"  # final, by us or by the customer
    EXPIRED = "expired"  # final, the customer never paid


class RefundState(StrEnum):
    PENDING = "pending"
    ACTION_REQUIRED = "action_required"
    SUCCEEDED = "succeeded"  # may still turn to FAILED days later
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentSnapshot(Value, kw_only=True):
    """One observation of one payment: an answer, a webhook, an element of a list. May be settled."""

    ref: PaymentRef
    state: PaymentState
    amount: Money  # what was asked for; zero verifies a card
    captured: Money  # cumulative and monotone: what was taken, refunds not subtracted
    refunded: Money  # cumulative: what was given back
    payment_id: str | None  # ours, read back from metadata
    order_id: str | None  # ours, read back from metadata
    checkout_url: str | None = None  # while the customer may act
    expires_at: datetime | None = None  # of the checkout link
    saved_method: SavedMethodRef | None = None
    decline: Decline | None = None  # present exactly when DECLINED
    created_at: datetime | None = None
    livemode: bool = True
    others: tuple[PaymentSnapshot, ...] = ()  # further objects of the provider that a search by our id found

    def __post_init__(self) -> None:
        """A link that is not `followable` counts as none, whichever adapter read it: it is neither shown nor mailed."""
        if self.checkout_url is not None and not followable(self.checkout_url):
            force_setattr(self, "checkout_url", None)


class RefundSnapshot(Value, kw_only=True):
    """One observation of one refund."""

    provider_refund_id: str
    our_refund_id: str | None  # read back from metadata
    payment: PaymentRef
    state: RefundState
    amount: Money
    reason: str | None = None  # why it failed, where it did
    payment_id: str | None = None  # ours, read back from metadata
    order_id: str | None = None  # ours, read back from metadata
    created_at: datetime | None = None


class LocalOutcome(StrEnum):
    """What is known of a payment or refund without a snapshot: the provider gave no answer that can be believed, or was
    not asked.
    """

    TIMED_OUT = "timed_out"  # it may have been executed
    NOT_SENT = "not_sent"  # surely not executed; the same key may be sent again
    NEVER_HAPPENED = "never_happened"  # the provider has none, and its key's lifetime is over
    NOTHING_DUE = "nothing_due"  # a trial whose method is saved already: there is no money to take
    NO_METHOD = "no_method"  # none was ever saved: only the customer can help
    METHOD_REMOVED = "payment_method_removed"  # its owner took it away, or the provider deleted it
    METHOD_REFUSED = "payment_method_refused"  # its bank declined another charge of it, for good
    METHOD_UNKNOWN = "payment_method_unknown"  # the provider has no such card or account (any more)
    TOO_SMALL = "amount_too_small"  # below what the provider charges at all: it was not asked
    INPUT_REFUSED = "input_refused"  # the provider does not take a value that the customer gave
    REFUSED = "refused"  # the provider will never accept this request: our bug, or a feature that is off


RenderPayment = Callable[[Order, Payment], SavedReply]
RenderRefund = Callable[[Refund], SavedReply]


class PaymentReport(Value, kw_only=True):
    """What is reported about one payment. `fence`: the lease it was asked under; a local outcome under an older lease
    means nothing.

    `asked`: the provider answered a question of ours. A webhook that does not say what the payment asked for is checked
    with the provider before it is believed.

    `failure`: why the provider gave no answer; kept for people.
    """

    payment_id: str
    outcome: PaymentSnapshot | LocalOutcome
    fence: int | None = None
    asked: bool = False
    answer: tuple[Key, RenderPayment] | None = None  # the waiting request that this answers, and how
    trace: str | None = None
    failure: str | None = None


class RefundReport(Value, kw_only=True):
    """What is reported about one refund. `failure`: as of a payment."""

    refund_id: str
    outcome: RefundSnapshot | LocalOutcome
    fence: int | None = None
    answer: tuple[Key, RenderRefund] | None = None
    failure: str | None = None


def payment_event(outcome: PaymentSnapshot | LocalOutcome) -> PaymentEvent:
    """The edge to walk. An approved payment still waits for us to complete it, so it is pending."""
    if isinstance(outcome, LocalOutcome):
        match outcome:
            case LocalOutcome.TIMED_OUT:
                return PaymentEvent.TIMED_OUT
            case LocalOutcome.NOT_SENT:
                return PaymentEvent.NOT_SENT
            case LocalOutcome.NEVER_HAPPENED | LocalOutcome.REFUSED | LocalOutcome.INPUT_REFUSED:
                return PaymentEvent.CANCELED
            case (
                LocalOutcome.NO_METHOD
                | LocalOutcome.METHOD_REMOVED
                | LocalOutcome.METHOD_REFUSED
                | LocalOutcome.METHOD_UNKNOWN
                | LocalOutcome.TOO_SMALL
            ):
                return PaymentEvent.DECLINED
            case LocalOutcome.NOTHING_DUE:
                return PaymentEvent.SUCCEEDED
            case _ as unreachable:
                assert_never(unreachable)
    match outcome.state:
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


def refund_event_of(outcome: RefundSnapshot | LocalOutcome) -> RefundEvent:
    """The edge to walk."""
    if isinstance(outcome, LocalOutcome):
        match outcome:
            case LocalOutcome.TIMED_OUT:
                return RefundEvent.TIMED_OUT
            case LocalOutcome.NOT_SENT:
                return RefundEvent.NOT_SENT
            case LocalOutcome.NEVER_HAPPENED | LocalOutcome.REFUSED | LocalOutcome.INPUT_REFUSED:
                return RefundEvent.FAILED
            case (
                LocalOutcome.NO_METHOD
                | LocalOutcome.METHOD_REMOVED
                | LocalOutcome.METHOD_REFUSED
                | LocalOutcome.METHOD_UNKNOWN
                | LocalOutcome.TOO_SMALL
                | LocalOutcome.NOTHING_DUE
            ):
                return RefundEvent.FAILED
            case _ as unreachable:
                assert_never(unreachable)
    match outcome.state:
        case RefundState.PENDING | RefundState.ACTION_REQUIRED:
            return RefundEvent.WENT_PENDING
        case RefundState.SUCCEEDED:
            return RefundEvent.SUCCEEDED
        case RefundState.FAILED | RefundState.CANCELED:
            return RefundEvent.FAILED
        case _ as unreachable_state:
            assert_never(unreachable_state)


# ---- what a snapshot proves ----------------------------------------------------------------------------------
# Delivered is for exactly what was asked: the state says succeeded, and the captured amount and its currency are those of
# the payment. Everything else that a snapshot says about money is first asked about (a webhook is not an answer), and what
# the provider confirms is booked and returned.

_NO_MONEY = frozenset({PaymentState.DECLINED, PaymentState.CANCELED, PaymentState.EXPIRED})


class Proof(StrEnum):
    AS_ASKED = "as_asked"  # walk the edge of the state machine
    OLD_NEWS = "old_news"  # money that is booked already
    OTHER_MONEY = "other_money"  # captured, but not as asked: book it and return it
    MORE_MONEY = "more_money"  # a payment that has succeeded captured more
    CONTRADICTION = "contradiction"  # cannot be believed as it came: ask the provider


class Finding(Value):
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
