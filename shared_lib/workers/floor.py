"""A relay's own floor in the outbox, in memory: a relay that starts begins with none and is right at once."""

from __future__ import annotations

import time
from typing import Final

from shared_lib.queries.floor import NO_FLOOR, Raise, raised
from shared_lib.runtime import Runtime

# After so many rows the floor is looked at again: at most about twice as many deleted ones are passed over by a read.
ROWS: Final = 2000
# What stands below the floor although it must not (an operator set the sequence back) is found after this time.
WHOLE_S: Final = 60.0
AGAIN_S: Final = 1.0


class MovingFloor:
    """The floor, raised as rows are found."""

    def __init__(self, rt: Runtime, *, rows: int = ROWS, whole_s: float = WHOLE_S) -> None:
        self.now = NO_FLOOR
        self._rt = rt
        self._rows = rows
        self._whole_s = whole_s
        self._found = 0
        self._whole_at = time.monotonic() + whole_s

    def found(self, rows: int) -> None:
        """So many rows were read."""
        self._found += rows

    def reset(self) -> None:
        """Begin with the first row again: the database may be another one than before."""
        self.now = NO_FLOOR

    async def follow(self) -> None:
        """Raise the floor if enough rows were found since, or if the whole outbox is to be looked at. Raises Transient."""
        whole = time.monotonic() >= self._whole_at
        if self._found < self._rows and not whole:
            return
        before = self.now
        self.now = await self._rt.read(raised, Raise(floor=before, whole=whole))
        self._found = 0
        if whole:  # not done while there was no mark, or a transaction below it runs
            done = before.mark is not None and self.now is not before
            self._whole_at = time.monotonic() + (self._whole_s if done else AGAIN_S)
