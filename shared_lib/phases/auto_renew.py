"""Customers opt out of renewals, or back in."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.auto_renew import ChangeAutoRenew, ChangedAutoRenew, set_auto_renew
from shared_lib.domain.errors import Code, Refusal
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction


async def change_auto_renew(
    tx: Transaction, requests: Sequence[ChangeAutoRenew]
) -> list[ChangedAutoRenew | Refusal]:
    """Change what becomes of subscriptions at the end of their paid time. A customer changes only their own."""
    cases = await Cases.of_subscriptions(tx, [request.subscription_id for request in requests])
    answers = [_change(cases, request) for request in requests]
    cases.write()
    return answers


def _change(cases: Cases, request: ChangeAutoRenew) -> ChangedAutoRenew | Refusal:
    case = cases.of_subscription(request.subscription_id)
    subscription = case.subscription if case else None
    if case is None or subscription is None or subscription.customer_id != request.customer_id:
        return Refusal(Code.NOT_FOUND, "There is no such subscription.")
    case, changed = set_auto_renew(case, subscription, auto_renew=request.auto_renew)
    cases.keep(case)
    return changed
