"""Refunds that wait for a second operator: their decision is committed before the refund is sent."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.approvals import DecidedRefund, DecideRefund, decide_refund
from shared_lib.domain.errors import Code, Refusal
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction


async def decide_refunds(tx: Transaction, wanted: Sequence[DecideRefund]) -> list[DecidedRefund | Refusal]:
    """Approve refunds, which leases them to be sent, or reject them, which frees their money."""
    cases = await Cases.of_refunds(tx, [want.refund_id for want in wanted])
    answers: list[DecidedRefund | Refusal] = []
    for want in wanted:
        case = cases.of_refund(want.refund_id)
        if case is None:
            answers.append(Refusal(Code.NOT_FOUND, "There is no such refund."))
            continue
        case, answer = decide_refund(case, case.refunds[want.refund_id], want)
        cases.keep(case)
        answers.append(answer)
    cases.write()
    return answers
