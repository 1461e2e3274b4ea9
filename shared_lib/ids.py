"""Identifiers: a prefix that says what it is, and a ULID: 48 bits of milliseconds, 80 random bits, sortable."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_TIME_SHIFTS = range(40, -1, -10)
_NOISE_CHARS = 16
# One call of the system's randomness serves this many ids: a batch of renewals needs thousands.
_NOISES_AT_ONCE: Final = 256
# The character of each byte. As many bytes have one as have another, so a random byte makes a random character.
_CHARACTERS: Final = 8 * _ALPHABET.encode()

_noises: list[str] = []
# A forked child must not use the characters its parent also has.
os.register_at_fork(after_in_child=_noises.clear)


def new_id(prefix: str) -> str:
    """`new_id("ord")` -> "ord_01JD...": unguessable, never sequential, 30 characters at most."""
    return f"{prefix}_{_instant(time.time_ns() // 1_000_000)}{_noise()}"


def before_all(prefix: str, *, of_the_last: timedelta) -> str:
    """A value that sorts before every id made within `of_the_last`, by this process's clock."""
    return f"{prefix}_{_instant((time.time_ns() // 1_000_000) - of_the_last // timedelta(milliseconds=1))}"


def first_of(prefix: str, at: datetime) -> str:
    """A value that sorts before every id made at or after this instant, and after all older ones."""
    return f"{prefix}_{_instant(round(at.timestamp() * 1000))}"


def _noise() -> str:
    """Random characters, each used once."""
    try:
        return _noises.pop()  # atomic: no two threads get the same
    except IndexError:
        fresh = os.urandom(_NOISE_CHARS * _NOISES_AT_ONCE).translate(_CHARACTERS).decode()
        _noises.extend(fresh[at : at + _NOISE_CHARS] for at in range(_NOISE_CHARS, len(fresh), _NOISE_CHARS))
        return fresh[:_NOISE_CHARS]


@lru_cache(maxsize=1)
def _instant(at_ms: int) -> str:
    """The first ten characters. Cached: a batch makes many ids within one millisecond."""
    return "".join([_PAIRS[at_ms >> shift & 1023] for shift in _TIME_SHIFTS])
