"""docs/events.schema.json: a JSON Schema for the data of each event, from the typed dictionaries that declare it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints, is_typeddict

from shared_lib.contract.events import EVERY_DATA

_PLAIN: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    NoneType: "null",
}


def events_schema() -> str:
    """The document's text. Consumers validate `data` against `#/$defs/` and the type of the event."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Data of Boxoffice's CloudEvents, by type",
        "description": "New keys may be added to data: further properties are allowed.",
        "$defs": {kind: schema_of(data) for kind, data in sorted(EVERY_DATA.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def schema_of(hint: Any) -> dict[str, Any]:
    """The schema of one annotation. Raises TypeError for one that no event has used so far: give it a line here."""
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        properties = {name: schema_of(of) for name, of in hints.items()}
        return {"type": "object", "properties": properties, "required": list(hints)}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if get_origin(hint) is UnionType and all(one in _PLAIN for one in get_args(hint)):
        return {"type": [_PLAIN[one] for one in get_args(hint)]}
    if get_origin(hint) is list:
        return {"type": "array", "items": schema_of(*get_args(hint))}
    if get_origin(hint) is Mapping:
        return {"type": "object"}
    raise TypeError(f"no schema for {hint!r}")
