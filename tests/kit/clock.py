"""The clock of a test's database. `boxoffice_now()` is ahead of the real time by what `test_clock` says."""

from __future__ import annotations

from typing import Final, LiteralString

# Moves the clock ahead. Its parameter is a timedelta.
ADVANCE: Final[LiteralString] = (
    "INSERT INTO test_clock (one, ahead) VALUES (true, %s)"
    " ON CONFLICT (one) DO UPDATE SET ahead = test_clock.ahead + EXCLUDED.ahead"
)
