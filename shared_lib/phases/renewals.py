"""The renewal tick: what is decided about subscriptions whose time has come."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing import jobs
from shared_lib.billing.case import Undecidable
from shared_lib.billing.due import RenewalRequest, look_at_due
from shared_lib.billing.leasing import LeaseContext, LeasedPayment
from shared_lib.domain.values import Value
from shared_lib.store.cases import Cases
from shared_lib.store.leasing import read_lease_context
from shared_lib.store.outbox import publish
from shared_lib.store.transaction import Transaction


class OpenedRenewal(Value, kw_only=True):
    """`looked_at` False: it is not due (any more), or another tick works on it. `to_charge`: the payment that the caller
    has leased, if any.
    """

    looked_at: bool
    to_charge: LeasedPayment | None = None


async def open_renewals(
    tx: Transaction, requests: Sequence[RenewalRequest]
) -> list[OpenedRenewal | Undecidable]:
    """Open renewals of due subscriptions: one order per period and one payment each, committed before any is charged.

    Due means due <= now. Two ticks at once share the work: what one has locked, the other skips. The payments are leased
    to the caller, who charges them next. Cancel wins: a customer who opted out before this lock is not charged.
    """
    cases = await Cases.of_due_subscriptions(tx, [request.subscription_id for request in requests])
    locked = [case.subscription for one in requests if (case := cases.of_subscription(one.subscription_id))]
    context = await read_lease_context(
        tx, [(one.payment_method_id, one.customer_id) for one in locked if one is not None]
    )
    answers: list[OpenedRenewal | Undecidable] = []
    looked_at: set[str] = set()
    for request in requests:
        again = request.subscription_id in looked_at  # the same one twice in a batch
        answers.append(OpenedRenewal(looked_at=False) if again else _look_at(cases, request, context))
        looked_at.add(request.subscription_id)
    cases.write()
    return answers


def _look_at(cases: Cases, request: RenewalRequest, context: LeaseContext) -> OpenedRenewal | Undecidable:
    case = cases.of_subscription(request.subscription_id)
    if case is None or case.subscription is None:
        return OpenedRenewal(looked_at=False)
    case, leased = look_at_due(case, case.subscription, request, context)
    cases.keep(case)
    if isinstance(leased, Undecidable):
        return leased
    return OpenedRenewal(looked_at=True, to_charge=leased)


async def call_for_help(tx: Transaction, due_ids: Sequence[str]) -> list[None]:
    """More is due than one instance takes at once, these subscriptions among it: a job for each of them wakes another instance."""
    await tx.clock()
    publish(tx, [jobs.charge_renewals(due_id) for due_id in due_ids])
    return [None] * len(due_ids)
