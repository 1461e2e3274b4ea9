"""Identifiers: a prefix that says what it is, and a ULID: 48 bits of milliseconds, 80 random bits, sortable."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


def new_id(prefix: str) -> str:
    """`new_id("ord")` -> "ord_01JD...": unguessable, never sequential, 30 characters at most."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    pairs = _PAIRS
    return f"{prefix}_" + "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])
