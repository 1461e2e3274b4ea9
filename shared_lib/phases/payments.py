"""Settling payments: the only place where collected money is recorded, whoever brings the news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment, PaymentStatus
from shared_lib.phases.claims import Claimed, take_lease
from shared_lib.phases.collecting import Collecting, Settled
from shared_lib.phases.confirming import payment_that_matters
from shared_lib.phases.desk import Desk
from shared_lib.phases.known import Known
from shared_lib.phases.observations import Observed
from shared_lib.store.keys import Key, SavedReply, save_replies
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A settled payment, with the bytes that answer the request that waited for it.

    `to_ask`: a page for the same order, which the request that waits is to ask for before it is answered.
    """

    settled: Settled
    reply: SavedReply | None = None
    to_ask: Claimed | None = None


async def settle_payments(tx: Transaction, observed: Sequence[Observed]) -> list[Answered | None]:
    """Record what providers said of payments. None for a payment that does not exist."""
    desk = Desk(tx)
    await desk.lock_payments([news.payment_id for news in observed])
    known = [news for news in observed if news.payment_id in desk.payments]
    collecting = Collecting(desk, await Known.read(desk, known))
    settled = [collecting.apply(news) if news.payment_id in desk.payments else None for news in observed]
    answers = [
        _answered(collecting, news, outcome) if outcome else None
        for news, outcome in zip(observed, settled, strict=True)
    ]
    desk.write()
    save_replies(tx, replies(observed, answers))
    return answers


def replies(observed: Sequence[Observed], answers: Sequence[Answered | None]) -> list[tuple[Key, SavedReply]]:
    return [
        (news.answer[0], answer.reply)
        for news, answer in zip(observed, answers, strict=True)
        if news.answer and answer and answer.reply
    ]


def _answered(collecting: Collecting, news: Observed, settled: Settled) -> Answered:
    # Another item of the batch may have moved the same order on: the reply tells the last of it.
    order = collecting.desk.orders[settled.order.id]
    payment = collecting.desk.payments[settled.payment.id]
    if news.answer is None:
        return Answered(settled=Settled(order=order, payment=payment, alarm=settled.alarm))
    payment = payment_that_matters(collecting.desk, payment)
    if payment.status is PaymentStatus.CREATED and payment.id != settled.payment.id:
        return Answered(settled=settled, to_ask=_page_to_ask_for(collecting.desk, order, payment))
    settled = Settled(order=order, payment=payment, alarm=settled.alarm)
    return Answered(settled=settled, reply=news.answer[1](order, payment))


def _page_to_ask_for(desk: Desk, order: Order, payment: Payment) -> Claimed:
    return Claimed(
        payment=take_lease(desk, payment),
        status_before=payment.status,
        order=order,
        method=None,
        email=None,  # the caller knows it
        wanted=True,
        now=desk.now,
    )
