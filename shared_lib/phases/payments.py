"""Settling payments: what is reported about them is recorded, whichever door brings the report."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.attempts import current_attempt
from shared_lib.billing.leasing import LeasedPayment, Purpose, take_lease
from shared_lib.billing.payments import Settled, settle
from shared_lib.billing.replies import SavedReply
from shared_lib.billing.reports import PaymentReport
from shared_lib.domain.payment import PaymentStatus
from shared_lib.domain.values import Value
from shared_lib.store.cases import Cases
from shared_lib.store.context import read_context
from shared_lib.store.failures import note_failures
from shared_lib.store.keys import save_replies
from shared_lib.store.transaction import Transaction


class AnsweredPayment(Value, kw_only=True):
    """A settled payment, with the bytes that answer the request that waited for it.

    `to_ask`: a page for the same order, which the request that waits is to ask for before it is answered.
    """

    settled: Settled
    reply: SavedReply | None = None
    to_ask: LeasedPayment | None = None


async def settle_payments(tx: Transaction, reports: Sequence[PaymentReport]) -> list[AnsweredPayment | None]:
    """Record what is reported about payments. None for a payment that does not exist."""
    cases = await Cases.of_payments(tx, [report.payment_id for report in reports])
    context = await read_context(tx, cases, reports)
    settled: list[Settled | None] = []
    for report in reports:
        case = cases.of_payment(report.payment_id)
        if case is None:
            settled.append(None)
            continue
        one = settle(case, report, context)
        context = context.learn(case, one.case)
        cases.keep(one.case)
        settled.append(one)
    answers = [
        _answered(cases, report, one) if one else None for report, one in zip(reports, settled, strict=True)
    ]
    cases.write()
    note_failures(tx, "payments", [(report.payment_id, report.failure) for report in reports])
    replies = [
        (report.answer[0], answer.reply)
        for report, answer in zip(reports, answers, strict=True)
        if report.answer and answer and answer.reply
    ]
    if replies:
        save_replies(tx, replies)
    return answers


def _answered(cases: Cases, report: PaymentReport, settled: Settled) -> AnsweredPayment:
    """Another report of the batch may have moved the same order on: the answer is what became of it at last."""
    payment = settled.payment
    case = cases.of_payment(payment.id)
    assert case is not None
    latest = Settled(case, case.payments[payment.id], settled.alarm)
    if report.answer is None:
        return AnsweredPayment(settled=latest)
    payment = current_attempt(case, latest.payment)
    if payment.status is PaymentStatus.CREATED and payment.id != settled.payment.id:
        case, leased = take_lease(case, payment)
        cases.keep(case)
        to_ask = LeasedPayment(
            payment=leased,
            status_before=payment.status,
            order=case.order_of(leased),
            method=None,
            email=None,  # the caller knows it
            purpose=Purpose.COLLECT,
            now=case.now,
        )
        return AnsweredPayment(settled=settled, to_ask=to_ask)
    latest = Settled(case, payment, settled.alarm)
    return AnsweredPayment(settled=latest, reply=report.answer[1](latest.order, payment))
