"""Opening orders: what the customer wants, committed before anybody is asked for money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.domain.catalog import OURSELVES, Price, PriceKind
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.money import zero
from shared_lib.domain.order import BillingReason, Order, OrderStatus, place_of
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import LEASE, send_again_at
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.ids import new_id
from shared_lib.phases import facts, giving
from shared_lib.phases.buyers import keep_buyers
from shared_lib.phases.claims import Claimed
from shared_lib.phases.desk import Desk
from shared_lib.phases.shelf import OWNED, PAY_WITHIN, AskedShelf, Holder, Shelf
from shared_lib.phases.wish import Buyer, OpenOrder
from shared_lib.store.keys import (
    Fresh,
    KeyState,
    Resume,
    SavedReply,
    claim_keys,
    release_keys,
    save_replies,
)
from shared_lib.store.transaction import Transaction

# What an order past its time waits for: a look of reconcile closes its checkout.
CLOSED_WITHIN_S = 15

_REASON = {
    PriceKind.PURCHASE: BillingReason.PURCHASE,
    PriceKind.RENTAL: BillingReason.RENTAL,
    PriceKind.SUBSCRIPTION: BillingReason.SUBSCRIPTION_CREATE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedOrder:
    """`to_ask`: the payment is ours to ask its provider about. `reply`: the answer is already decided."""

    order: Order
    payment: Payment
    to_ask: Claimed | None = None
    reply: SavedReply | None = None


async def open_orders(
    tx: Transaction, wanted: Sequence[OpenOrder]
) -> list[OpenedOrder | SavedReply | Refusal]:
    """Commit what customers want: one order and one payment each, or find the ones their key already made.

    Owned once: while an order for the same thing waits for its money, that order is the answer, whatever the key.
    """
    ids = [new_id("ord") for _ in wanted]
    asked = await AskedShelf.of(tx, wanted)
    states = await claim_keys(tx, [(want.key, id_) for want, id_ in zip(wanted, ids, strict=True)])
    shelf = await asked.shelf()
    desk = Desk(tx)
    await desk.lock(_stand_already(shelf, wanted, states))
    answers = [
        _answer(desk, shelf, want, order_id, state)
        for want, order_id, state in zip(wanted, ids, states, strict=True)
    ]
    buyers = [w.buyer for w, a in zip(wanted, answers, strict=True) if isinstance(a, OpenedOrder)]
    keep_buyers(tx, shelf, buyers)
    desk.write()
    _keep_promises(tx, wanted, states, answers)
    return answers


def _stand_already(shelf: Shelf, wanted: Sequence[OpenOrder], states: Sequence[KeyState]) -> list[str]:
    """Orders to be answered with: the one a key has made, or the one that has the place."""
    found = [state.resource_id for state in states if isinstance(state, Resume)]
    for want, state in zip(wanted, states, strict=True):
        if isinstance(state, Fresh) and (holder := shelf.holder(want)) and holder.waits:
            found.append(holder.order_id)
    return found


def _keep_promises(
    tx: Transaction,
    wanted: Sequence[OpenOrder],
    states: Sequence[KeyState],
    answers: Sequence[OpenedOrder | SavedReply | Refusal],
) -> None:
    """A refused request frees its key; an answer that is already decided is kept with it."""
    refused, decided = [], []
    for want, state, answer in zip(wanted, states, answers, strict=True):
        if isinstance(state, Fresh) and isinstance(answer, Refusal):
            refused.append(want.key)
        elif isinstance(answer, OpenedOrder) and answer.reply:
            decided.append((want.key, answer.reply))
    release_keys(tx, refused)
    save_replies(tx, decided)


def _answer(
    desk: Desk, shelf: Shelf, want: OpenOrder, order_id: str, state: KeyState
) -> OpenedOrder | SavedReply | Refusal:
    match state:
        case SavedReply() | Refusal():
            return state
        case Resume(resource_id):
            return _resume(desk, want, resource_id)
        case Fresh():
            price = shelf.price(want)
            return price if isinstance(price, Refusal) else _join_or_open(desk, shelf, want, order_id, price)


def _join_or_open(
    desk: Desk, shelf: Shelf, want: OpenOrder, order_id: str, price: Price
) -> OpenedOrder | Refusal:
    customer_id, holder = want.buyer.customer_id, shelf.holder(want)
    if holder and (order := desk.orders.get(holder.order_id)):
        if order.holds:
            return _join(desk, want, order) if order.status is OrderStatus.PENDING else OWNED[price.kind]
        holder = None  # it ended before we had it locked
    if shelf.open[customer_id] >= want.open_max and not price.is_free:
        return Refusal(
            Code.TOO_MANY_OPEN_ORDERS,
            f"At most {want.open_max} orders may be open: pay for one or cancel it.",
        )
    opened = _open(desk, shelf, want, order_id, price)
    if isinstance(opened, OpenedOrder):
        if holder:  # what it was for is over, else we would not be here
            desk.vacate(holder.order_id)
        waits = opened.order.status is OrderStatus.PENDING
        shelf.holders[place_of(opened.order)] = Holder(order_id, waits)
        shelf.open[customer_id] += waits
    return opened


def _join(desk: Desk, want: OpenOrder, order: Order) -> OpenedOrder | Refusal:
    """The open order is the answer, if it is what was asked for; else the customer continues or cancels it first."""
    if order.expires_at <= desk.now:
        closing = "An earlier order for this is being closed; ask again."
        return Refusal(Code.ORDER_OPEN, closing, retry_after_s=CLOSED_WITHIN_S, order_id=order.id)
    if order.price_id != want.price_id or all(terms.name != order.provider for terms in want.terms):
        other = "An order for this is open at another price or provider: pay for it, or cancel it."
        return Refusal(Code.ORDER_OPEN, other, order_id=order.id)
    payment = _latest_payment(desk, order.id)
    return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))


def _open(desk: Desk, shelf: Shelf, want: OpenOrder, order_id: str, price: Price) -> OpenedOrder | Refusal:
    terms = shelf.terms(want, price)
    if isinstance(terms, Refusal):
        return terms
    subscription = _subscribe(desk, shelf, want, price, terms.name)
    order = Order(
        id=order_id,
        customer_id=want.buyer.customer_id,
        price_id=price.id,
        product_id=price.product_id,
        product_title=price.product_title,
        kind=price.kind,
        billing_reason=_REASON[price.kind],
        status=OrderStatus.PENDING,
        amount=zero(price.amount.currency) if subscription and subscription.trial_days else price.amount,
        provider=terms.name,
        return_url=want.return_url,
        created_at=desk.now,
        expires_at=desk.now + PAY_WITHIN,
        subscription_id=subscription.id if subscription else None,
        holds=True,
    )
    desk.put(order)
    desk.tell_of_order("billing.order.created", order.id, facts.of_order(order), want.trace)
    payment = _payment(desk, want, order)
    desk.put(payment)
    if price.is_free:
        giving.give(desk, payment, shelf.owned, want.trace)
        order, payment = desk.orders[order.id], desk.payments[payment.id]
        return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))
    if want.respond_async:
        desk.ask_for(facts.start_payment_job(payment, order.customer_id, None, want.trace))
        return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))
    return OpenedOrder(order=order, payment=payment, to_ask=_to_ask(desk, shelf, want, order, payment))


def _subscribe(desk: Desk, shelf: Shelf, want: OpenOrder, price: Price, provider: str) -> Subscription | None:
    if price.interval is None:
        return None
    subscription = Subscription(
        id=new_id("sub"),
        customer_id=want.buyer.customer_id,
        product_id=price.product_id,
        product_title=price.product_title,
        price_id=price.id,
        status=SubscriptionStatus.INCOMPLETE,
        amount=price.amount,
        interval=price.interval,
        time_zone=shelf.buyer(want.buyer).time_zone or "UTC",
        provider=provider,
        auto_renew=True,
        trial_days=0 if shelf.had_before(want.buyer.customer_id, price.product_id) else price.trial_days,
        created_at=desk.now,
    )
    desk.put(subscription)
    return subscription


def _payment(desk: Desk, want: OpenOrder, order: Order) -> Payment:
    free = order.provider == OURSELVES.name
    asked_now = not want.respond_async and not free
    return Payment(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow=PaymentFlow.CHARGE if want.payment_method_id or free else PaymentFlow.CHECKOUT,
        status=PaymentStatus.SENDING if asked_now else PaymentStatus.CREATED,
        amount=order.amount,
        attempt=1,
        created_at=desk.now,
        payment_method_id=None if free else want.payment_method_id,
        fence=1 if asked_now else 0,
        lease_until=desk.now + LEASE if asked_now else None,
        first_sent_at=desk.now if asked_now else None,
        # If whoever should ask dies, reconcile takes over.
        next_check_at=desk.now + LEASE if asked_now else send_again_at(desk.now, 2),
    )


def _to_ask(desk: Desk, shelf: Shelf, want: OpenOrder, order: Order, payment: Payment) -> Claimed:
    return Claimed(
        payment=payment,
        status_before=PaymentStatus.CREATED,
        order=order,
        method=shelf.method(want),
        email=shelf.email(want.buyer),
        wanted=True,
        now=desk.now,
    )


def _resume(desk: Desk, want: OpenOrder, order_id: str) -> OpenedOrder:
    """The first request died after committing. Its row says how far it came; what it began completes by itself,
    so this one answers with what is true now.
    """
    order = desk.orders[order_id]
    payment = _latest_payment(desk, order_id)
    stuck = payment.status in (PaymentStatus.CREATED, PaymentStatus.SENDING)
    if stuck and (payment.lease_until is None or payment.lease_until <= desk.now):
        desk.ask_for(facts.start_payment_job(payment, order.customer_id, None, want.trace))
    return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))


def _latest_payment(desk: Desk, order_id: str) -> Payment:
    return max(desk.payments_of(order_id), key=lambda payment: payment.attempt)


__all__ = ["Buyer", "OpenOrder", "OpenedOrder", "open_orders"]
