"""Seconds that a run has measured, for the table at its end. They are reported; no test asserts them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Rows of what and how many seconds, in the order in which they were measured."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    def note(self, what: str, seconds: float) -> None:
        self.rows.append((what, seconds))

    @contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """Measured even when it fails: how long that took is worth knowing as well."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.note(what, time.monotonic() - began)

    def table(self) -> list[str]:
        width = max((len(what) for what, _ in self.rows), default=0)
        return [f"{what:<{width}}  {seconds:7.1f} s" for what, seconds in self.rows]
