"""The sandbox's time in microseconds, and how instants are written."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_us() -> int:
    """Microseconds of the real clock. The simulated clock is this plus an offset."""
    return time.time_ns() // 1000


def wall_s() -> float:
    """Seconds of the real clock: waits between webhook attempts do not follow the simulated time."""
    return time.time_ns() / 1e9


def iso(instant_us: int | None) -> str | None:
    if instant_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=instant_us)).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """Microseconds. Raises ValueError for text that is not an instant with an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return (instant - _EPOCH) // timedelta(microseconds=1)
