"""What the relay hands events to, and how it is told that an event was not taken.

A module of its own: the relay runs as `python -m`, which makes it `__main__`, and a sink that raised an error of
shared_lib.workers.relay would raise one that the running relay has never heard of.
"""

from __future__ import annotations

from typing import Protocol

from shared_lib.phases.outgoing import Outgoing


class NotNowError(Exception):
    """The sink did not take it: try again later. `counts` False: nobody was there."""

    def __init__(self, reason: str, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.counts = counts


class NeverError(Exception):
    """The sink will not take this event as it is."""


class Sink(Protocol):
    async def deliver(self, event: Outgoing) -> None:
        """Hand one event on. Returning means it was acknowledged; else NotNowError or NeverError."""
        ...
