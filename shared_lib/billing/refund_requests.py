"""A refund that a customer or an operator asks for: what may go back, and its reservation before it is sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from shared_lib.billing import approvals, facts
from shared_lib.billing.case import Case
from shared_lib.billing.leasing import LeasedRefund, payment_ref
from shared_lib.billing.refundable import Refundable, refundable
from shared_lib.billing.replies import Key, SavedReply
from shared_lib.billing.reports import RenderRefund
from shared_lib.billing.returns import ReturnLimit, Returns
from shared_lib.billing.surplus import keep_returning, withdraw_waiting
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.lease import Lease
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus, customer_refund
from shared_lib.domain.values import Value, field, replace

NO_SUCH_ORDER: Final = Refusal(Code.NOT_FOUND, "There is no such order.")


class OpenRefund(Value, kw_only=True):
    """`by_operator`: any amount up to what is left. By the customer: what the rules of the domain give back.

    `as_customer`: the token says both. `alone_max_minor`: by currency, above what an operator needs a second one.
    """

    key: Key
    order_id: str
    requested_by: str
    by_operator: bool
    reason: str
    amount_minor: int | None
    access: RefundAccess | None
    render: RenderRefund
    payment_id: str | None = None  # whose money; None: what paid for the order
    providers: Collection[str] | None = None  # those that can be asked; None: any
    as_customer: bool = False
    limit: ReturnLimit | None = None  # what a customer may return without an operator; None: any number
    alone_max_minor: Mapping[str, int] = field(default_factory=dict)


class OpenedRefund(Value, kw_only=True):
    """`to_ask`: ours to ask its provider about. `reply`: the answer is already decided."""

    refund: Refund
    to_ask: LeasedRefund | None = None
    reply: SavedReply | None = None


class Opening(Value):
    """The case and the returns after a request, and what it is answered with."""

    case: Case
    returns: Returns
    answer: OpenedRefund | Refusal


def open_refund(case: Case, order: Order, want: OpenRefund, refund_id: str, returns: Returns) -> Opening:
    """Reserve what is to go back, under the id of its key. Refused: nothing has changed."""
    admitted = _admitted(case, order, want, returns)
    if isinstance(admitted, Refusal):
        return Opening(case, returns, admitted)
    refund = _refund(case, order, admitted, refund_id)
    if not admitted.want.by_operator:
        returns = returns.learn(order)
    case = _reserved(case, admitted, refund).record(facts.refund_requested(refund, order))
    if refund.status is RefundStatus.AWAITING_APPROVAL:
        return Opening(case, returns, OpenedRefund(refund=refund, reply=want.render(refund)))
    payment = admitted.found.payment
    leased = LeasedRefund(
        refund=refund,
        status_before=RefundStatus.REQUESTED,
        provider=payment.provider,
        payment=payment_ref(payment),
        order=order,
        now=case.now,
    )
    return Opening(case, returns, OpenedRefund(refund=refund, to_ask=leased))


class _Admitted(Value):
    """A request that is granted. `want`: with the role in which it was made."""

    want: OpenRefund
    found: Refundable
    amount: Money


def _admitted(case: Case, order: Order, want: OpenRefund, returns: Returns) -> _Admitted | Refusal:
    if not (want.by_operator or order.customer_id == want.requested_by):
        return NO_SUCH_ORDER
    if want.by_operator and order.customer_id == want.requested_by:
        if not want.as_customer:
            return Refusal(Code.REFUND_OWN_ORDER, "This order is your own: ask as its customer.")
        want = replace(want, by_operator=False)  # the rules of customers hold for what one bought
    found = refundable(case, order, want.payment_id, by_operator=want.by_operator)
    if isinstance(found, Refusal):
        return found
    amount = _amount(case, want, order, found.left)
    if isinstance(amount, Refusal):
        return amount
    if want.access is RefundAccess.SHORTEN and not _can_be_shortened(order, case.now):
        return Refusal(Code.BODY_INVALID, "Only a subscription's period that is not over can be shortened.")
    provider = found.payment.provider
    if want.providers is not None and provider not in want.providers:
        return Refusal(Code.PROVIDER_CLOSED, f"{provider}, which took the money, cannot be asked now.")
    if not want.by_operator and (refusal := returns.refusal(order, want.limit)):
        return refusal
    return _Admitted(want, found, amount)


def _refund(case: Case, order: Order, admitted: _Admitted, refund_id: str) -> Refund:
    want, payment, surplus = admitted.want, admitted.found.payment, admitted.found.surplus
    refund = Refund(
        id=refund_id,
        order_id=order.id,
        payment_id=payment.id,
        status=RefundStatus.SENDING,
        amount=admitted.amount,
        reason=want.reason,
        access=RefundAccess.KEEP if surplus else _access(want, order, payment, admitted.amount),
        surplus=surplus,
        requested_by=want.requested_by,
        created_at=case.now,
        lease=Lease().taken(case.now),
    )
    # What was never ours goes back without a second person, and is reserved as long as it is held.
    needs_approval = not surplus and _needs_second_person(want, payment, admitted.amount)
    return approvals.hold(refund) if needs_approval else refund


def _reserved(case: Case, admitted: _Admitted, refund: Refund) -> Case:
    """The case with the refund, whose amount no other refund can return."""
    payment = admitted.found.payment
    if not refund.surplus:
        reserved = payment.refund_reserved_minor + refund.amount.minor
        return case.put(replace(payment, refund_reserved_minor=reserved), refund)
    # A surplus is reserved already: this refund takes the place of those that wait, and leaves them the rest.
    return keep_returning(withdraw_waiting(case, payment).put(refund), payment)


def _amount(case: Case, want: OpenRefund, order: Order, left: Money) -> Money | Refusal:
    if not left:
        return Refusal(Code.REFUND_TOO_MUCH, "Nothing is left to refund.")
    if want.by_operator:
        asked = left if want.amount_minor is None else Money(want.amount_minor, left.currency)
        if asked.minor <= 0:
            return Refusal(Code.BODY_INVALID, "A refund gives something back.")
        return asked if asked <= left else Refusal(Code.REFUND_TOO_MUCH, f"Only {left} is left to refund.")
    if (want.amount_minor, want.access, want.payment_id) != (None, None, None):
        return Refusal(
            Code.REFUND_AMOUNT_FORBIDDEN,
            "Only an operator may choose the amount, the payment or what happens to access.",
        )
    entitlement = case.entitlement_of(order)
    return customer_refund(order, [entitlement] if entitlement else [], left, case.now)


def _can_be_shortened(order: Order, now: datetime) -> bool:
    return order.kind is PriceKind.SUBSCRIPTION and order.period_end is not None and order.period_end > now


def _needs_second_person(want: OpenRefund, payment: Payment, amount: Money) -> bool:
    """Counted with what went back of the order before, so that an amount cannot be split to stay below."""
    alone = want.alone_max_minor.get(amount.currency)
    return want.by_operator and alone is not None and payment.refund_reserved_minor + amount.minor > alone


def _access(want: OpenRefund, order: Order, payment: Payment, amount: Money) -> RefundAccess:
    """As an operator says; else, when all of it goes back, or a customer gives up the rest of a period, access ends."""
    if want.by_operator and want.access:
        return want.access
    full = amount.minor + payment.refund_reserved_minor >= payment.captured_minor
    gives_up_period = not want.by_operator and order.kind is PriceKind.SUBSCRIPTION
    return RefundAccess.END_NOW if full or gives_up_period else RefundAccess.KEEP
