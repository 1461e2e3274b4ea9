"""The lease on a payment or a refund: its holder may ask the provider, and only one process holds it at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from shared_lib.domain.schedule import LEASE
from shared_lib.domain.values import Value, replace


class Lease(Value, kw_only=True):
    """`fence` counts the leases: what is reported under an older one is not believed.

    `checks` counts the looks of the schedule since the value was made, and so decides how long the next one waits.
    """

    fence: int = 0
    until: datetime | None = None  # None: no process holds it
    first_sent_at: datetime | None = None  # when the provider may first have heard of it
    checks: int = 0
    next_check_at: datetime | None = None  # None: nothing is left to ask about

    def is_held(self, now: datetime) -> bool:
        return self.until is not None and self.until > now

    def is_due(self, now: datetime) -> bool:
        """Whether the next look may be taken now."""
        return self.next_check_at is not None and self.next_check_at <= now

    def taken(self, now: datetime, *, to_send: bool = True) -> Lease:
        """A new lease. If its holder dies, the next look finds it over and takes another one.

        `to_send` False: the provider is asked to close, or asked about, what was perhaps never sent.
        """
        return replace(
            self,
            fence=self.fence + 1,
            until=now + LEASE,
            next_check_at=now + LEASE,
            first_sent_at=(self.first_sent_at or now) if to_send else self.first_sent_at,
        )

    def released(self) -> Lease:
        """It is decided: nothing is left to ask about."""
        return replace(self, until=None, next_check_at=None)

    def again(self, at: datetime | None) -> Lease:
        """It is not decided: given back, counted, and looked at again then (None: never)."""
        return replace(self, until=None, checks=self.checks + 1, next_check_at=at)

    def uncounted(self) -> Lease:
        """The look that is taken now makes no later wait longer: an operator asks beside the schedule.

        One look always stays counted, because what follows the first silence is recorded once.
        """
        return replace(self, checks=max(self.checks - 1, min(self.checks, 1)))

    def due_at(self, at: datetime | None) -> Lease:
        """The same, looked at next then (None: never)."""
        return replace(self, next_check_at=at)


NO_LEASE: Final = Lease()
"""Of what was made just now, and is asked about by no process."""
