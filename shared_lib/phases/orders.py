"""Opening orders: what the customer wants, committed before anybody is asked for money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared_lib.domain.catalog import OURSELVES, Price, PriceKind
from shared_lib.domain.errors import Refusal
from shared_lib.domain.money import zero
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import LEASE, send_again_at
from shared_lib.domain.subscription import Subscription, SubscriptionStatus
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import facts, giving
from shared_lib.phases.claims import Claimed
from shared_lib.phases.desk import Desk
from shared_lib.phases.keys import (
    Fresh,
    KeyState,
    Resume,
    SavedReply,
    claim_keys,
    release_keys,
    save_replies,
)
from shared_lib.phases.shelf import AskedShelf, Shelf
from shared_lib.phases.wish import Buyer, OpenOrder
from shared_lib.store.bulk import array_literal
from shared_lib.store.transaction import Transaction

# A checkout stays open for a day; what is paid later is late money.
PAY_WITHIN = timedelta(hours=24)

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
    """Commit what customers want: one order and one payment each, or find the ones their key already made."""
    ids = [new_id("ord") for _ in wanted]
    asked = await AskedShelf.of(tx, wanted)
    states = await claim_keys(tx, [(want.key, id_) for want, id_ in zip(wanted, ids, strict=True)])
    desk = Desk(tx)
    await desk.lock([state.resource_id for state in states if isinstance(state, Resume)])
    shelf = await asked.shelf()
    answers = [
        _answer(desk, shelf, want, order_id, state)
        for want, order_id, state in zip(wanted, ids, states, strict=True)
    ]
    _keep_buyers(
        tx, shelf, [w.buyer for w, a in zip(wanted, answers, strict=True) if isinstance(a, OpenedOrder)]
    )
    desk.write()
    _keep_promises(tx, wanted, states, answers)
    return answers


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
            return price if isinstance(price, Refusal) else _open(desk, shelf, want, order_id, price)


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
    )
    desk.put(order)
    desk.tell_of_order("billing.order.created", order.id, facts.of_order(order), want.trace)
    payment = _payment(desk, want, order)
    desk.put(payment)
    if price.is_free:
        giving.give(desk, payment, shelf.owned, want.trace)
        order, payment = desk.orders[order.id], desk.payments[payment.id]
        return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))
    opened = OpenedOrder(order=desk.orders[order.id], payment=payment)
    if want.respond_async:
        desk.ask_for(facts.start_payment_job(payment, order.customer_id, None, want.trace))
        return replace(opened, reply=want.render(opened.order, payment))
    return replace(opened, to_ask=_to_ask(desk, shelf, want, opened))


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
        time_zone=want.buyer.time_zone,
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


def _to_ask(desk: Desk, shelf: Shelf, want: OpenOrder, opened: OpenedOrder) -> Claimed:
    return Claimed(
        payment=opened.payment,
        status_before=PaymentStatus.CREATED,
        order=opened.order,
        method=shelf.method(want),
        email=want.buyer.email,
        wanted=True,
        now=desk.now,
    )


def _resume(desk: Desk, want: OpenOrder, order_id: str) -> OpenedOrder:
    """The first request died after committing. Its row says how far it came; what it began completes by itself,
    so this one answers with what is true now.
    """
    order = desk.orders[order_id]
    payment = max(desk.payments_of(order_id), key=lambda payment: payment.attempt)
    stuck = payment.status in (PaymentStatus.CREATED, PaymentStatus.SENDING)
    if stuck and (payment.lease_until is None or payment.lease_until <= desk.now):
        desk.ask_for(facts.start_payment_job(payment, order.customer_id, None, want.trace))
    return OpenedOrder(order=order, payment=payment, reply=want.render(order, payment))


def _keep_buyers(tx: Transaction, shelf: Shelf, buyers: Sequence[Buyer]) -> None:
    """Remember whom to write to, in the customer's language. Written only when something changed."""
    latest = {buyer.customer_id: buyer for buyer in buyers}
    ordered = [
        buyer
        for customer_id, buyer in sorted(latest.items())
        if shelf.buyers.get(customer_id) != (buyer.email, buyer.locale, buyer.time_zone)
    ]
    if not ordered:
        return
    tx.later(
        """
        INSERT INTO customers (id, email, locale, time_zone, updated_at)
        SELECT new.*, %s FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS new
        ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, locale = EXCLUDED.locale,
            time_zone = EXCLUDED.time_zone, updated_at = EXCLUDED.updated_at
        WHERE (customers.email, customers.locale, customers.time_zone)
            IS DISTINCT FROM (EXCLUDED.email, EXCLUDED.locale, EXCLUDED.time_zone)
        """,
        [
            tx.now,
            array_literal([buyer.customer_id for buyer in ordered]),
            array_literal([buyer.email for buyer in ordered]),
            array_literal([buyer.locale for buyer in ordered]),
            array_literal([buyer.time_zone for buyer in ordered]),
        ],
    )


__all__ = ["Buyer", "OpenOrder", "OpenedOrder", "open_orders"]
