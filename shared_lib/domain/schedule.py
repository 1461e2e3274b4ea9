"""When to ask again about something that is not decided. Waits grow; what is owed by a provider is asked for without end."""

from __future__ import annotations

from datetime import datetime, timedelta

# A lease outlives the process that asks a provider, so that a takeover means its owner is dead, or waits for its turn to ask: then
# both send the same key, and silence that is heard under an old lease means nothing.
LEASE = timedelta(seconds=45)

_UNKNOWN = tuple(timedelta(seconds=s) for s in (2, 10, 60, 600, 3600))
_NOT_SENT = tuple(timedelta(seconds=s) for s in (2, 10, 60, 300, 900))
_SET_ASIDE = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 360))
_RETURN = tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168))
_PENDING = tuple(timedelta(minutes=m) for m in (10, 30, 60, 180, 360))


def ask_unknown_at(now: datetime, checks: int) -> datetime:
    """It may have been executed: +2 s, 10 s, 1 min, 10 min, 1 h, then hourly."""
    return now + _step(_UNKNOWN, checks)


def send_again_at(now: datetime, checks: int) -> datetime:
    """It was surely not executed: minutes, and never counted as a decline."""
    return now + _step(_NOT_SENT, checks)


def look_at_pending_at(now: datetime, checks: int) -> datetime:
    """The customer has a link: the webhook will tell; look anyway in case it was lost."""
    return now + _step(_PENDING, checks)


def return_again_at(now: datetime, failures: int) -> datetime | None:
    """A surplus whose return failed so often: 1 h, 6 h, 1 day, 3 days, 7 days, then None. An operator must act."""
    return now + _RETURN[failures - 1] if 0 < failures <= len(_RETURN) else None


def look_at_open_at(now: datetime, checks: int, *ends: datetime) -> datetime:
    """The same, and at each of its `ends` that is still ahead. After the last of them: as long again as has passed
    since (at least a minute, at most 6 h), because what should have ended is asked about until it has.
    """
    ahead = [end for end in ends if end > now]
    if ahead:
        return min(look_at_pending_at(now, checks), *ahead)
    return now + min(max(now - max(ends), timedelta(minutes=1)), _PENDING[-1])


def _step(steps: tuple[timedelta, ...], checks: int) -> timedelta:
    return steps[min(checks, len(steps) - 1)]


def try_set_aside_at(now: datetime, attempts: int) -> datetime:
    """A row that could not be decided: +1 min, 5 min, 15 min, 1 h, then every 6 h, until a person has mended it."""
    return now + _step(_SET_ASIDE, attempts)
