"""Dunning: the retry schedule after a declined renewal, and when access follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from shared_lib.domain.payment import DeclineKind
from shared_lib.domain.values import Value


class DunningPolicy(Value, kw_only=True):
    """Days are counted from the first decline of the period (`past_due_at`)."""

    retry_days: tuple[int, ...] = (1, 3, 5, 7)
    grace_days: int = 7  # past_due keeps access
    cancel_days: int = 21
    attempts_max: int = 15  # per method in 30 days; the card networks fine more
    attempts_window_days: int = 30


DEFAULT = DunningPolicy()


def next_retry_at(
    policy: DunningPolicy,
    kind: DeclineKind,
    past_due_at: datetime,
    now: datetime,
    recent_attempts: int,
    *,
    wait: timedelta | None = None,
) -> datetime | None:
    """When to charge the same method again, or None when only the customer can help.

    The first scheduled day still ahead of `now`, and not before the bank's own `wait` is over: an outage of ours skips
    days, it never bunches them up.
    """
    match kind:
        case DeclineKind.HARD | DeclineKind.ACTION_REQUIRED:
            return None
        case DeclineKind.SOFT:
            if recent_attempts >= policy.attempts_max:
                return None
            days = (past_due_at + timedelta(days=day) for day in policy.retry_days)
            earliest = now + (wait or timedelta())
            return next((day for day in days if day > now and day >= earliest), None)
        case _ as unreachable:
            assert_never(unreachable)


def access_until(policy: DunningPolicy, past_due_at: datetime) -> datetime:
    """The end of grace: past_due before it, suspended after."""
    return past_due_at + timedelta(days=policy.grace_days)


def gives_up_at(policy: DunningPolicy, past_due_at: datetime) -> datetime:
    return past_due_at + timedelta(days=policy.cancel_days)
