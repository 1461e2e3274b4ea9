"""Identifiers: a prefix that says what it is, and a ULID: 48 bits of milliseconds, 80 random bits, sortable."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from functools import lru_cache
from typing import Final

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_TIME_SHIFTS = range(40, -1, -10)
_NOISE_BYTES: Final = 10
# One call of the system's randomness serves this many ids: a batch of renewals needs thousands.
_NOISES_AT_ONCE: Final = 256

_noises: list[bytes] = []
# A forked child must not use the bytes its parent also has.
os.register_at_fork(after_in_child=_noises.clear)


def new_id(prefix: str) -> str:
    """`new_id("ord")` -> "ord_01JD...": unguessable, never sequential, 30 characters at most."""
    noise, pairs = int.from_bytes(_noise(), "big"), _PAIRS
    return (
        f"{prefix}_{_instant(time.time_ns() // 1_000_000)}"
        f"{pairs[noise >> 70]}{pairs[noise >> 60 & 1023]}{pairs[noise >> 50 & 1023]}{pairs[noise >> 40 & 1023]}"
        f"{pairs[noise >> 30 & 1023]}{pairs[noise >> 20 & 1023]}{pairs[noise >> 10 & 1023]}{pairs[noise & 1023]}"
    )


def before_all(prefix: str, *, of_the_last: timedelta) -> str:
    """A value that sorts before every id made within `of_the_last`, by this process's clock."""
    return f"{prefix}_{_instant((time.time_ns() // 1_000_000) - of_the_last // timedelta(milliseconds=1))}"


def _noise() -> bytes:
    """Random bytes, each used once."""
    try:
        return _noises.pop()  # atomic: no two threads get the same
    except IndexError:
        fresh = os.urandom(_NOISE_BYTES * _NOISES_AT_ONCE)
        _noises.extend(fresh[at : at + _NOISE_BYTES] for at in range(_NOISE_BYTES, len(fresh), _NOISE_BYTES))
        return fresh[:_NOISE_BYTES]


@lru_cache(maxsize=1)
def _instant(at_ms: int) -> str:
    """The first ten characters. Cached: a batch makes many ids within one millisecond."""
    return "".join([_PAIRS[at_ms >> shift & 1023] for shift in _TIME_SHIFTS])
