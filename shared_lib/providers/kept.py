"""How the inbox stores an event that could not be settled yet."""

from __future__ import annotations

import msgspec

from shared_lib.providers.base import ProviderEvent


def written(event: ProviderEvent) -> str:
    """The event as JSON."""
    return msgspec.json.encode(event).decode()


def read(payload: object) -> ProviderEvent:
    """The event from the parsed JSON. Raises msgspec's ValidationError when it is not readable."""
    return msgspec.convert(payload, ProviderEvent)
