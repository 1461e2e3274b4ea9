"""The form in which the inbox keeps an event that could not be settled yet."""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter

from shared_lib.providers.base import ProviderEvent

_EVENT: Final = TypeAdapter(ProviderEvent)


def written(event: ProviderEvent) -> str:
    """As JSON."""
    return json.dumps(_EVENT.dump_python(event, mode="json"))


def read(payload: object) -> ProviderEvent:
    """From the value of that JSON. Raises pydantic's ValidationError when it cannot be read."""
    return _EVENT.validate_python(payload, strict=False)
