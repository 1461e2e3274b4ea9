"""A play: which of a customer's entitlements it counts for, and when it began.

The claim comes from a device, and devices lie about time both ways: a set-top box without a battery says 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import RENTAL_FINISH_HOURS, Entitlement, EntitlementStatus
from shared_lib.domain.values import Value

# Plays stand beside webhooks in the inbox, under a name that no provider has: their senders cannot use up a webhook's id.
PLAYS: Final = "play:"

# How long an event is on its way, outages aside. A claim that is known to be wrong is put no further back than this.
TRAVEL_MAX: Final = timedelta(hours=1)


class Played(Value, kw_only=True):
    """A customer began to watch a product. `again`: it is parked in the inbox and is tried once more."""

    source: str
    event_id: str
    customer_id: str
    product_id: str
    started_at: datetime
    again: bool = False

    @property
    def address(self) -> tuple[str, str]:
        """Where the inbox keeps the event."""
        return PLAYS + self.source, self.event_id

    @property
    def title(self) -> tuple[str, str]:
        return self.customer_id, self.product_id


class Access(Value):
    """An entitlement, and until when it is honored: for a plan in its grace that is later than its `ends_at`."""

    entitlement: Entitlement
    until: datetime | None

    def open_at(self, at: datetime) -> bool:
        return self.entitlement.starts_at <= at and (self.until is None or at < self.until)


def counted_for(candidates: Sequence[Access], started_at: datetime, now: datetime) -> Access | None:
    """The one entitlement that a play of its product counts for; None when none gave access.

    What gives access now comes first: a purchase, then a plan, then a rental that is running, then the rental that ends
    first. One play never starts a rental that was not needed for it. Without access now, the play was reported late: it
    counts for what was open at the claimed instant.
    """
    begun = [
        access
        for access in candidates
        if access.entitlement.status is EntitlementStatus.ACTIVE and access.entitlement.starts_at <= now
    ]
    if opened := [access for access in begun if access.open_at(now)]:
        return min(opened, key=_preference)
    late = [access for access in begun if access.open_at(started_at)]
    return max(late, key=lambda access: (access.until or now, access.entitlement.id), default=None)


def began_at(access: Access, started_at: datetime, now: datetime) -> datetime:
    """The claimed instant, moved into [access start, now].

    Two claims cannot be true: one before the access began, and one so long ago that the 48 hours would be over while
    the customer begins to watch. Those count as `TRAVEL_MAX` before now at the earliest: a wrong clock must not take
    paid hours away.
    """
    entitlement = access.entitlement
    at = min(max(started_at, entitlement.starts_at), now)
    over = at + timedelta(hours=RENTAL_FINISH_HOURS) <= now
    wrong = started_at < entitlement.starts_at or (over and access.open_at(now))
    if entitlement.kind is PriceKind.RENTAL and wrong:
        at = max(at, now - TRAVEL_MAX)
    return at


def _preference(access: Access) -> tuple[int, datetime, str]:
    never = datetime.max.replace(tzinfo=UTC)
    return _rank(access.entitlement), access.until or never, access.entitlement.id


def _rank(entitlement: Entitlement) -> int:
    match entitlement.kind:
        case PriceKind.PURCHASE:
            return 0
        case PriceKind.SUBSCRIPTION:
            return 1
        case PriceKind.RENTAL:
            return 3 if entitlement.first_played_at is None else 2
        case _ as unreachable:
            assert_never(unreachable)
