"""Shared by the relay and the trigger: which door takes which event, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# The answers that Knative's dispatcher retries, and 425 (Too Early).
_AGAIN: Final = frozenset({404, 408, 409, 425, 429})
# The door did not verify the sender: a secret is being rotated, or a clock is off. Knative's dispatcher gives up at once;
# we retry, because the event itself may be valid.
UNPROVEN: Final = 401


def is_retryable(status: int) -> bool:
    """Whether the same event may succeed later at a door that answered `status`. Every other status from 300 on is final."""
    return status >= 500 or status == UNPROVEN or status in _AGAIN


class Routes:
    """Event type or its prefix -> address of a door. The longest prefix wins."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self._routes = sorted(routes.items(), key=lambda route: -len(route[0]))
        self._known: dict[str, str | None] = {}

    def door_of(self, kind: str) -> str | None:
        """The door that takes events of this type, if any."""
        if kind not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[kind] = next((url for prefix, url in self._routes if kind.startswith(prefix)), None)
        return self._known[kind]


# Event types come from outside: a sender could invent any number of them.
_KNOWN_MAX: Final = 1000
