"""The renewal tick: what is decided about subscriptions whose time has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared_lib.billing import jobs
from shared_lib.billing.case import Undecidable
from shared_lib.billing.due import RenewalRequest, look_at_due
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction

CHUNK: Final = 200
"""How many payments one job charges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRenewal:
    """`looked_at` False: it is not due (any more), or another tick works on it. The payment to charge, if any."""

    looked_at: bool
    payment_id: str | None = None


async def open_renewals(
    tx: Transaction, requests: Sequence[RenewalRequest]
) -> list[OpenedRenewal | Undecidable]:
    """Claim due subscriptions: one order per period and one payment each, committed before any is charged.

    Due means due <= now. Two ticks at once share the work: what one has locked, the other skips. The payments of a
    batch are handed on in jobs of CHUNK.
    """
    cases = await Cases.of_due_subscriptions(tx, [request.subscription_id for request in requests])
    answers: list[OpenedRenewal | Undecidable] = []
    looked_at: set[str] = set()
    for request in requests:
        again = request.subscription_id in looked_at  # the same one twice in a batch
        answers.append(OpenedRenewal(looked_at=False) if again else _look_at(cases, request))
        looked_at.add(request.subscription_id)
    to_charge = [one.payment_id for one in answers if isinstance(one, OpenedRenewal) and one.payment_id]
    for start in range(0, len(to_charge), CHUNK):
        cases.record(jobs.charge_renewals(to_charge[start : start + CHUNK]))
    cases.write()
    return answers


def _look_at(cases: Cases, request: RenewalRequest) -> OpenedRenewal | Undecidable:
    case = cases.of_subscription(request.subscription_id)
    if case is None or case.subscription is None:
        return OpenedRenewal(looked_at=False)
    case, payment = look_at_due(case, case.subscription, request)
    cases.keep(case)
    if isinstance(payment, Undecidable):
        return payment
    return OpenedRenewal(looked_at=True, payment_id=payment.id if payment else None)
