"""When Python looks for cycles of objects that are not used any more."""

from __future__ import annotations

import gc
from typing import Final

# With Python's own, a batch of a thousand items would be scanned a hundred times.
THRESHOLDS: Final = (20_000, 20, 50)


def settle_down() -> None:
    """Exclude imported objects from garbage collection, and collect less often: batches make many values but few cycles."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
