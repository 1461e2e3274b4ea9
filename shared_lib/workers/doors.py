"""What everybody who sends events to doors knows: which door takes which event, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# "Not now": the retried answers of Knative's dispatcher, and 425, which says the same in so many words.
_AGAIN: Final = frozenset({404, 408, 409, 425, 429})
# A door does not believe the sender: a secret that is being rolled, or a clock that is off. Knative's dispatcher gives up
# at once; we ask again, because the event itself may be in order.
UNPROVEN: Final = 401


def asks_again(status: int) -> bool:
    """Whether a door that answered this may take the event later. Other answers from 300 on mean never."""
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


# Types come from outside, and somebody might make them up.
_KNOWN_MAX: Final = 1000
