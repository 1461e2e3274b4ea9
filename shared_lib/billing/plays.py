"""The first play of an entitlement: it starts a rental's clock, and ends the right to return a title."""

from __future__ import annotations

from datetime import datetime

from shared_lib.billing import facts
from shared_lib.billing.case import Case
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import end_after_first_play
from shared_lib.domain.honored import Renewal, honored
from shared_lib.domain.playing import Access, began_at
from shared_lib.domain.values import replace


def access_of(case: Case, order_id: str) -> Access:
    """What the order gives, or gave, and until when that is honored."""
    order, entitlement, subscription = case.orders[order_id], case.entitlements[order_id], case.subscription
    if subscription is None:
        return Access(entitlement, entitlement.ends_at)
    renewal = Renewal(
        subscription.status, subscription.auto_renew, subscription.past_due_at, subscription.period_n
    )
    return Access(entitlement, honored(entitlement, order.period_n, renewal).ends_at)


def begin(case: Case, access: Access, started_at: datetime) -> Case:
    """A play counts for this entitlement. The same case when it was played before."""
    entitlement = access.entitlement
    if entitlement.first_played_at:
        return case
    at = began_at(access, started_at, case.now)
    started = replace(entitlement, first_played_at=at)
    if entitlement.kind is not PriceKind.RENTAL:
        return case.put(started)
    started = replace(started, ends_at=end_after_first_play(entitlement.ends_at, at))
    return case.put(started).record(facts.entitlement_changed(started, case.order_of(started)))
