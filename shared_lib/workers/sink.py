"""What the relay hands events to, and the errors by which a sink refuses one.

A module of its own: the relay runs as `python -m`, which makes it `__main__`, and its `except` would not match an error
that a sink imports from shared_lib.workers.relay.
"""

from __future__ import annotations

from typing import Protocol

from shared_lib.store.outbox import Outgoing


class NotNowError(Exception):
    """The sink did not take the event: try again later. `counts` is False when no attempt should be counted: the door was
    unreachable, or did not verify us.
    """

    def __init__(self, reason: str, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.counts = counts


class NeverError(Exception):
    """The sink will never take this event as it is."""


class Sink(Protocol):
    async def deliver(self, event: Outgoing) -> None:
        """Deliver one event. Returning means that it was acknowledged. Raises NotNowError or NeverError."""
        ...
