"""Refunds: reserved before the provider is asked, recorded when it has answered."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.refund_requests import NO_SUCH_ORDER, OpenedRefund, OpenRefund, open_refund
from shared_lib.billing.refunds import SettledRefund, settle_refund
from shared_lib.billing.replies import SavedReply
from shared_lib.billing.reports import RefundReport
from shared_lib.billing.returns import Returns
from shared_lib.domain.errors import Refusal
from shared_lib.domain.values import Value, replace
from shared_lib.ids import new_id
from shared_lib.store.cases import Cases
from shared_lib.store.failures import note_failures
from shared_lib.store.keys import Fresh, KeyState, Resume, claim_keys, release_keys, save_replies
from shared_lib.store.leasing import read_emails
from shared_lib.store.returns import ReturnsQuery
from shared_lib.store.transaction import Transaction


class AnsweredRefund(Value, kw_only=True):
    """`reply`: what answers the request that waits for the refund."""

    settled: SettledRefund
    reply: SavedReply | None = None


async def open_refunds(
    tx: Transaction, wanted: Sequence[OpenRefund]
) -> list[OpenedRefund | SavedReply | Refusal]:
    """Reserve what is to go back, so that two refunds can never exceed what was taken."""
    ids = [new_id("ref") for _ in wanted]
    returning = [want for want in wanted if want.as_customer or not want.by_operator]
    limit = next((want.limit for want in returning), None)
    query = await ReturnsQuery.of(tx, [want.requested_by for want in returning], limit)
    states = await claim_keys(tx, [(want.key, id_) for want, id_ in zip(wanted, ids, strict=True)])
    returns = await query.returns()
    open_keys = zip(wanted, states, strict=True)
    cases = await Cases.of_orders(
        tx, [want.order_id for want, state in open_keys if isinstance(state, Fresh | Resume)]
    )
    answers: list[OpenedRefund | SavedReply | Refusal] = []
    for want, refund_id, state in zip(wanted, ids, states, strict=True):
        answer, returns = _answer(cases, returns, want, refund_id, state)
        answers.append(answer)
    answers = await _addressed(tx, answers)
    cases.write()
    pairs = list(zip(wanted, states, answers, strict=True))
    release_keys(tx, [w.key for w, s, a in pairs if isinstance(s, Fresh) and isinstance(a, Refusal)])
    save_replies(tx, [(w.key, a.reply) for w, _, a in pairs if isinstance(a, OpenedRefund) and a.reply])
    return answers


async def settle_refunds(tx: Transaction, reports: Sequence[RefundReport]) -> list[AnsweredRefund | None]:
    """Record what providers answered about refunds. None: there is no such refund."""
    cases = await Cases.of_refunds(tx, [report.refund_id for report in reports])
    answers: list[AnsweredRefund | None] = []
    for report in reports:
        case = cases.of_refund(report.refund_id)
        if case is None:
            answers.append(None)
            continue
        settled = settle_refund(case, report)
        cases.keep(settled.case)
        reply = report.answer[1](settled.refund) if report.answer else None
        answers.append(AnsweredRefund(settled=settled, reply=reply))
    cases.write()
    note_failures(tx, "refunds", [(report.refund_id, report.failure) for report in reports])
    replies = [
        (report.answer[0], answer.reply)
        for report, answer in zip(reports, answers, strict=True)
        if report.answer and answer and answer.reply
    ]
    if replies:
        save_replies(tx, replies)
    return answers


async def _addressed(
    tx: Transaction, answers: Sequence[OpenedRefund | SavedReply | Refusal]
) -> list[OpenedRefund | SavedReply | Refusal]:
    """Refunds that are to be asked for know where their receipts go."""
    asked = [leased for one in answers if isinstance(one, OpenedRefund) and (leased := one.to_ask)]
    emails = await read_emails(tx, {leased.order.customer_id for leased in asked})
    return [
        replace(one, to_ask=replace(leased, email=emails.get(leased.order.customer_id)))
        if isinstance(one, OpenedRefund) and (leased := one.to_ask)
        else one
        for one in answers
    ]


def _answer(
    cases: Cases, returns: Returns, want: OpenRefund, refund_id: str, state: KeyState
) -> tuple[OpenedRefund | SavedReply | Refusal, Returns]:
    case = cases.of_order(want.order_id)
    match state:
        case SavedReply() | Refusal():
            return state, returns
        case Resume(resource_id):
            # The process that reserved it died. Reconcile completes it; this answers how it stands now.
            assert case is not None
            refund = case.refunds[resource_id]
            return OpenedRefund(refund=refund, reply=want.render(refund)), returns
        case Fresh():
            if case is None:
                return NO_SUCH_ORDER, returns
            opening = open_refund(case, case.orders[want.order_id], want, refund_id, returns)
            cases.keep(opening.case)
            return opening.answer, opening.returns
