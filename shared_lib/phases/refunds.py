"""Refunds: reserved before the provider is asked, recorded when it has answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus, customer_refund
from shared_lib.domain.schedule import LEASE
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import approvals, facts
from shared_lib.phases.claims import ClaimedRefund
from shared_lib.phases.desk import Desk
from shared_lib.phases.observations import ObservedRefund, RenderRefund
from shared_lib.phases.refund_memory import AskedMemory, RefundMemory, ReturnLimit
from shared_lib.phases.refundable import refundable
from shared_lib.phases.returning import SettledRefund, apply_refund
from shared_lib.phases.surplus import keep_returning, withdraw_waiting
from shared_lib.providers.base import PaymentRef
from shared_lib.store.keys import (
    Fresh,
    Key,
    KeyState,
    Resume,
    SavedReply,
    claim_keys,
    release_keys,
    save_replies,
)
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRefund:
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
    limit: ReturnLimit | None = None  # what a customer may return by themselves; None: any number
    alone_max_minor: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRefund:
    """`to_ask`: ours to ask its provider about. `reply`: the answer is already decided."""

    refund: Refund
    to_ask: ClaimedRefund | None = None
    reply: SavedReply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRefund:
    settled: SettledRefund
    reply: SavedReply | None = None


async def open_refunds(
    tx: Transaction, wanted: Sequence[OpenRefund]
) -> list[OpenedRefund | SavedReply | Refusal]:
    """Reserve what is to go back, so that two refunds can never exceed what was taken."""
    ids = [new_id("ref") for _ in wanted]
    returning = [want for want in wanted if want.as_customer or not want.by_operator]
    limit = next((want.limit for want in returning), None)
    asked = await AskedMemory.of(tx, [want.requested_by for want in returning], limit)
    states = await claim_keys(tx, [(want.key, id_) for want, id_ in zip(wanted, ids, strict=True)])
    memory = await asked.memory()
    desk = Desk(tx)
    order_ids = [
        want.order_id for want, state in zip(wanted, states, strict=True) if isinstance(state, Fresh | Resume)
    ]
    await desk.lock(order_ids, refunds=True)
    await desk.read_entitlements()
    answers = [
        _answer(desk, memory, want, refund_id, state)
        for want, refund_id, state in zip(wanted, ids, states, strict=True)
    ]
    desk.write()
    pairs = list(zip(wanted, states, answers, strict=True))
    release_keys(tx, [w.key for w, s, a in pairs if isinstance(s, Fresh) and isinstance(a, Refusal)])
    save_replies(tx, [(w.key, a.reply) for w, _, a in pairs if isinstance(a, OpenedRefund) and a.reply])
    return answers


async def settle_refunds(tx: Transaction, observed: Sequence[ObservedRefund]) -> list[AnsweredRefund | None]:
    """Record what providers said of refunds: the only place where returned money is recorded."""
    desk = await _desk_of(tx, [news.refund_id for news in observed])
    settled = [apply_refund(desk, news) if news.refund_id in desk.refunds else None for news in observed]
    answers = [
        AnsweredRefund(settled=one, reply=news.answer[1](one.refund) if news.answer else None)
        if one
        else None
        for news, one in zip(observed, settled, strict=True)
    ]
    desk.write()
    save_replies(
        tx,
        [
            (news.answer[0], answer.reply)
            for news, answer in zip(observed, answers, strict=True)
            if news.answer and answer and answer.reply
        ],
    )
    return answers


async def _desk_of(tx: Transaction, refund_ids: Sequence[str]) -> Desk:
    rows = await tx.fetch("SELECT order_id FROM refunds WHERE id = ANY(%s)", [sorted(set(refund_ids))])
    desk = Desk(tx)
    await desk.lock([row[0] for row in rows], refunds=True)
    await desk.read_entitlements()
    return desk


def _answer(
    desk: Desk, memory: RefundMemory, want: OpenRefund, refund_id: str, state: KeyState
) -> OpenedRefund | SavedReply | Refusal:
    match state:
        case SavedReply() | Refusal():
            return state
        case Resume(
            resource_id
        ):  # whoever reserved it died; reconcile completes it, this answers what is true now
            refund = desk.refunds[resource_id]
            return OpenedRefund(refund=refund, reply=want.render(refund))
        case Fresh():
            return _open(desk, memory, want, refund_id)


def _open(desk: Desk, memory: RefundMemory, want: OpenRefund, refund_id: str) -> OpenedRefund | Refusal:
    order = desk.orders.get(want.order_id)
    if order is None or not (want.by_operator or order.customer_id == want.requested_by):
        return Refusal(Code.NOT_FOUND, "There is no such order.")
    if want.by_operator and order.customer_id == want.requested_by:
        if not want.as_customer:
            return Refusal(Code.REFUND_OWN_ORDER, "This order is your own: ask as its customer.")
        want = replace(want, by_operator=False)  # the rules of customers hold for what one bought
    found = refundable(desk, order, want.payment_id, by_operator=want.by_operator)
    if isinstance(found, Refusal):
        return found
    amount = _amount(desk, want, order, found.left)
    if isinstance(amount, Refusal):
        return amount
    payment = found.payment
    if want.access is RefundAccess.SHORTEN and not _can_be_shortened(order, desk.now):
        return Refusal(Code.BODY_INVALID, "Only a subscription's period that is not over can be shortened.")
    if want.providers is not None and payment.provider not in want.providers:
        return Refusal(
            Code.PROVIDER_CLOSED, f"{payment.provider}, which took the money, cannot be asked now."
        )
    if not want.by_operator:
        if refusal := memory.refusal(order, want.limit):
            return refusal
        memory.note(order)
    assert payment.provider_ref is not None  # only what its provider never saw has none, and captured nothing
    refund = Refund(
        id=refund_id,
        order_id=order.id,
        payment_id=payment.id,
        status=RefundStatus.SENDING,
        amount=amount,
        reason=want.reason,
        access=RefundAccess.KEEP if found.surplus else _access(want, order, payment, amount),
        surplus=found.surplus,
        requested_by=want.requested_by,
        created_at=desk.now,
        fence=1,
        lease_until=desk.now + LEASE,
        first_sent_at=desk.now,
        next_check_at=desk.now + LEASE,
    )
    # What was never ours goes back without a second person, and is reserved as long as it is held.
    held = not found.surplus and _needs_second_person(want, payment, amount)
    if held:
        refund = approvals.hold(refund)
    if found.surplus:
        withdraw_waiting(desk, payment)
    else:
        desk.put(replace(payment, refund_reserved_minor=payment.refund_reserved_minor + amount.minor))
    desk.put(refund)
    if found.surplus:
        keep_returning(desk, payment)  # what this one leaves
    desk.tell_of_order("billing.refund.requested", order.id, facts.of_refund(refund, order))
    if held:
        return OpenedRefund(refund=refund, reply=want.render(refund))
    ref = PaymentRef(
        provider=payment.provider,
        provider_payment_id=payment.provider_ref,
        capture_id=payment.provider_capture_ref,
    )
    claimed = ClaimedRefund(
        refund=refund,
        status_before=RefundStatus.REQUESTED,
        provider=payment.provider,
        payment=ref,
        now=desk.now,
    )
    return OpenedRefund(refund=refund, to_ask=claimed)


def _amount(desk: Desk, want: OpenRefund, order: Order, left: Money) -> Money | Refusal:
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
    entitlements = [found for found in (desk.entitlements.get(order.id),) if found]
    return customer_refund(order, entitlements, left, desk.now)


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
