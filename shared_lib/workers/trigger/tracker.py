"""Which offset of a partition may be committed: that of the first record that is not done. No I/O."""

from __future__ import annotations

from collections import deque


class Tracker:
    """Records arrive in the order of their offsets and finish in any order. Offsets may have gaps."""

    def __init__(self) -> None:
        self._open: deque[int] = deque()  # from the first that is not done
        self._done: set[int] = set()  # those that are done, above the first that is not
        self._next: int | None = None

    def take(self, offset: int) -> None:
        """Raises ValueError for an offset that was seen before: the queue was not reset when the partition came back."""
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
        """The first offset to read after a restart; None before the first record."""
        return self._open[0] if self._open else self._next

    @property
    def span(self) -> int:
        """How many records lie between the position and the last one: a crash delivers at most these again."""
        return len(self._open)
