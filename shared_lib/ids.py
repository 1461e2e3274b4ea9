"""Identifiers: a prefix that says what it is, and a ULID: 48 bits of milliseconds, 80 random bits, sortable."""

from __future__ import annotations

import os
import time
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


_TIME_SHIFTS, _RANDOM_SHIFTS = range(40, -1, -10), range(70, -1, -10)


def new_id(prefix: str) -> str:
    """`new_id("ord")` -> "ord_01JD...": unguessable, never sequential, 30 characters at most."""
    noise, pairs = int.from_bytes(os.urandom(10), "big"), _PAIRS
    return f"{prefix}_{_instant(time.time_ns() // 1_000_000)}" + "".join(
        [pairs[noise >> shift & 1023] for shift in _RANDOM_SHIFTS]
    )


@lru_cache(maxsize=1)
def _instant(at_ms: int) -> str:
    """The first ten characters; a batch makes many ids within one millisecond."""
    return "".join([_PAIRS[at_ms >> shift & 1023] for shift in _TIME_SHIFTS])
