"""What may be committed of a partition: everything below the first record that is not done. Pure."""

from __future__ import annotations

from collections import deque


class Tracker:
    """Records are taken in the order of their offsets and done in any order. Offsets may have holes."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()  # from the first that is not done
        self._done: set[int] = set()  # those of them that are
        self._next: int | None = None

    def take(self, offset: int) -> None:
        """Raises ValueError for a record that was taken already: the partition must have been ours before."""
        if self._next is not None and offset < self._next:
            raise ValueError(f"offset {offset} comes after {self._next - 1}")
        self._open.append(offset)
        self._next = offset + 1

    def done(self, offset: int) -> None:
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._done.remove(self._open.popleft())

    @property
    def position(self) -> int | None:
        """The first offset to read after a restart; None when nothing was taken yet."""
        return self._open[0] if self._open else self._next

    @property
    def span(self) -> int:
        """How many records lie between the position and the end: a crash delivers no more than these again."""
        return len(self._open)
