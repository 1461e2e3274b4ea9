"""How the inbox stores an event that could not be settled yet."""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter

from shared_lib.providers.base import ProviderEvent

_EVENT: Final = TypeAdapter(ProviderEvent)


def written(event: ProviderEvent) -> str:
    """The event as JSON."""
    return json.dumps(_EVENT.dump_python(event, mode="json"))


def read(payload: object) -> ProviderEvent:
    """The event from the parsed JSON. Raises pydantic's ValidationError when it is not readable."""
    return _EVENT.validate_python(payload, strict=False)
