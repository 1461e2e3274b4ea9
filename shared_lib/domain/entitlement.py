"""Entitlement: access of a customer to a product for a window, with the order that paid for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.values import Value

RENTAL_START_DAYS = 30
RENTAL_FINISH_HOURS = 48


class EntitlementStatus(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"


class Entitlement(Value, kw_only=True):
    """May be watched while `starts_at <= now < ends_at` and not revoked. `ends_at` None: for good."""

    id: str
    customer_id: str
    product_id: str
    order_id: str
    subscription_id: str | None
    kind: PriceKind
    status: EntitlementStatus
    starts_at: datetime
    ends_at: datetime | None
    first_played_at: datetime | None = None

    def watchable_at(self, at: datetime) -> bool:
        in_window = self.starts_at <= at and (self.ends_at is None or at < self.ends_at)
        return self.status is EntitlementStatus.ACTIVE and in_window


def access_end(kind: PriceKind, paid_at: datetime, period_end: datetime | None) -> datetime | None:
    """Until when paid access lasts: for good, 30 days to start a rental, or the end of the period."""
    match kind:
        case PriceKind.PURCHASE:
            return None
        case PriceKind.RENTAL:
            return paid_at + timedelta(days=RENTAL_START_DAYS)
        case PriceKind.SUBSCRIPTION:
            if period_end is None:
                raise ValueError("a subscription's order has a period")
            return period_end
        case _ as unreachable:
            assert_never(unreachable)


def end_after_first_play(ends_at: datetime | None, played_at: datetime) -> datetime:
    """A started rental must be finished within 48 hours, even when it was started on its last day."""
    finish_by = played_at + timedelta(hours=RENTAL_FINISH_HOURS)
    return finish_by if ends_at is None or played_at < ends_at else ends_at
