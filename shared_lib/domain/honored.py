"""Until when access is honored: a period that is being renewed, or is in its grace, is still watched (decision 0011)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from shared_lib.domain import dunning
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.subscription import SubscriptionStatus
from shared_lib.domain.values import Value, replace

# A renewal is charged when the period ends; access does not blink while that, or our outage, takes its time.
RENEWAL_SLACK: Final = timedelta(days=dunning.DEFAULT.grace_days)

_RENEWED: Final = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})


class Renewal(Value):
    """The subscription of an entitlement, as far as it extends it. `period_n`: the period that is paid last."""

    status: SubscriptionStatus
    auto_renew: bool
    past_due_at: datetime | None
    period_n: int


def honored(entitlement: Entitlement, period_n: int | None, renewal: Renewal | None) -> Entitlement:
    """The entitlement with the end that is honored. `period_n`: the period that its order paid for."""
    if entitlement.ends_at is None or renewal is None:
        return entitlement
    if not renewal.auto_renew or renewal.period_n != period_n:
        return entitlement
    if renewal.status is SubscriptionStatus.PAST_DUE and renewal.past_due_at:
        return replace(entitlement, ends_at=dunning.access_until(dunning.DEFAULT, renewal.past_due_at))
    if renewal.status in _RENEWED:
        return replace(entitlement, ends_at=entitlement.ends_at + RENEWAL_SLACK)
    return entitlement
