"""Opening orders: what customers want is committed before any provider is asked for money."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.offers import Offers
from shared_lib.billing.order_requests import OrderRequest
from shared_lib.billing.orders import OpenedOrder, join_order, open_order, resume_order
from shared_lib.billing.replies import SavedReply
from shared_lib.domain.catalog import Price
from shared_lib.domain.errors import Refusal
from shared_lib.ids import new_id
from shared_lib.store.cases import Cases
from shared_lib.store.keys import Fresh, KeyState, Resume, claim_keys, release_keys, save_replies
from shared_lib.store.offers import OffersQuery, keep_buyers
from shared_lib.store.transaction import Transaction

Answer = OpenedOrder | SavedReply | Refusal


async def open_orders(tx: Transaction, requests: Sequence[OrderRequest]) -> list[Answer]:
    """Commit what customers want: one order and one payment each, or find the ones their key already made.

    Owned once: while an order for the same thing waits for its money, that order is the answer, whatever the key.
    """
    ids = [new_id("ord") for _ in requests]
    query = await OffersQuery.ask(tx, requests)
    states = await claim_keys(
        tx, [(request.key, order_id) for request, order_id in zip(requests, ids, strict=True)]
    )
    offers = await query.answer()
    cases = await Cases.of_orders(tx, _standing_orders(offers, requests, states))
    answers: list[Answer] = []
    for request, order_id, state in zip(requests, ids, states, strict=True):
        answer = _answer(cases, offers, request, order_id, state)
        if isinstance(answer, OpenedOrder) and answer.order.id == order_id:
            offers = offers.learn(answer.order)
        answers.append(answer)
    pairs = zip(requests, answers, strict=True)
    keep_buyers(tx, offers, [request.buyer for request, one in pairs if isinstance(one, OpenedOrder)])
    cases.write()
    _keep_promises(tx, requests, states, answers)
    return answers


def _standing_orders(
    offers: Offers, requests: Sequence[OrderRequest], states: Sequence[KeyState]
) -> list[str]:
    """Orders that requests are answered with: the one a key has made, or the one that has the place."""
    found = [state.resource_id for state in states if isinstance(state, Resume)]
    for request, state in zip(requests, states, strict=True):
        if isinstance(state, Fresh) and (holder := offers.holder(request)) and holder.waits:
            found.append(holder.order_id)
    return found


def _answer(cases: Cases, offers: Offers, request: OrderRequest, order_id: str, state: KeyState) -> Answer:
    match state:
        case SavedReply() | Refusal():
            return state
        case Resume(resource_id):
            standing = cases.of_order(resource_id)
            assert standing is not None  # it was committed with its key
            case, resumed = resume_order(standing, standing.orders[resource_id], request)
            cases.keep(case)
            return resumed
        case Fresh():
            price = offers.price(request)
            if isinstance(price, Refusal):
                return price
            return _join_or_open(cases, offers, request, order_id, price)


def _join_or_open(
    cases: Cases, offers: Offers, request: OrderRequest, order_id: str, price: Price
) -> OpenedOrder | Refusal:
    holder = offers.holder(request)
    if holder and (standing := cases.of_order(holder.order_id)):
        order = standing.orders[holder.order_id]
        if order.holds:
            return join_order(standing, order, request, price)
        holder = None  # it ended before it was locked
    case, opened = open_order(cases.new(), request, price, offers, order_id=order_id, former=holder)
    if isinstance(opened, OpenedOrder):
        cases.keep(case)
    return opened


def _keep_promises(
    tx: Transaction, requests: Sequence[OrderRequest], states: Sequence[KeyState], answers: Sequence[Answer]
) -> None:
    """A refused request frees its key; an answer that is already decided is kept with it."""
    refused, decided = [], []
    for request, state, answer in zip(requests, states, answers, strict=True):
        if isinstance(state, Fresh) and isinstance(answer, Refusal):
            refused.append(request.key)
        elif isinstance(answer, OpenedOrder) and answer.reply:
            decided.append((request.key, answer.reply))
    release_keys(tx, refused)
    save_replies(tx, decided)
