"""A Kafka record as the HTTP request that delivers it. No I/O.

Binary CloudEvents (headers `ce_...`) become headers `ce-...`; structured ones pass through as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from shared_lib.domain.values import Value

Headers = Sequence[tuple[str, bytes]]

_REQUIRED: Final = ("id", "source", "type")
_NAME: Final = re.compile(r"[a-z0-9]+").fullmatch
_STRUCTURED: Final = "application/cloudevents+json"
# CloudEvents HTTP binding, 3.1.3.2: printable ASCII but `"` and `%` travels as it is, all else percent-encoded.
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_PLAIN: Final = re.compile(rb"[!#$&-~]*").fullmatch


class Record(NamedTuple):
    """A record as it was read from its partition. Whether it is a CloudEvent is not checked yet."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Envelope(Value):
    """A record that is a CloudEvent."""

    id: str
    type: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class NoEventError(Exception):
    """The record is no CloudEvent, so no door could read it."""


def envelope(record: Record) -> Envelope:
    """The record as a request. Raises NoEventError."""
    attributes, content_type = _attributes(record.headers)
    if "specversion" in attributes:
        return _binary(record, attributes, content_type)
    if content_type.partition(b";")[0].strip().lower().decode("latin-1") == _STRUCTURED:
        return _structured(record, content_type)
    raise NoEventError("neither ce_specversion nor a structured CloudEvent")


def _attributes(headers: Headers) -> tuple[dict[str, bytes], bytes]:
    attributes, content_type = {}, b""
    for name, value in headers:
        lower = name.lower()
        if lower.startswith("ce_"):
            attributes[lower[3:]] = value or b""
        elif lower == "content-type":
            content_type = value or b""
    return attributes, content_type


def _binary(record: Record, attributes: dict[str, bytes], content_type: bytes) -> Envelope:
    if attributes["specversion"] != b"1.0":
        raise NoEventError(
            f"CloudEvents {attributes['specversion'].decode(errors='replace')} is not spoken here"
        )
    if missing := [name for name in _REQUIRED if not attributes.get(name)]:
        raise NoEventError(f"without {', '.join(missing)}")
    if record.key is not None:
        attributes["partitionkey"] = record.key
    headers = []
    for name, value in attributes.items():
        if not _NAME(name):
            raise NoEventError(f"{name!r} is no name of an attribute")
        headers.append((b"ce-" + name.encode(), _encoded(value)))
    if content_type:
        headers.append((b"content-type", _printable(content_type)))
    return Envelope(_text(attributes["id"]), _text(attributes["type"]), headers, record.value or b"")


def _structured(record: Record, content_type: bytes) -> Envelope:
    try:
        event = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        raise NoEventError("a structured CloudEvent that is not JSON") from None
    if not isinstance(event, dict):
        raise NoEventError("a structured CloudEvent that is no JSON object")
    if event.get("specversion") != "1.0":
        raise NoEventError("a structured CloudEvent without specversion 1.0")
    if missing := [name for name in _REQUIRED if not (isinstance(event.get(name), str) and event[name])]:
        raise NoEventError(f"a structured CloudEvent without {', '.join(missing)}")
    return Envelope(
        event["id"], event["type"], [(b"content-type", _printable(content_type))], record.value or b""
    )


def _encoded(value: bytes) -> bytes:
    return value if _PLAIN(value) else quote(value, safe=_SAFE).encode()


def _printable(content_type: bytes) -> bytes:
    """Raises NoEventError for bytes that an HTTP header cannot carry."""
    if not re.fullmatch(rb"[ -~]+", content_type):
        raise NoEventError("a content-type that HTTP cannot carry")
    return content_type.strip()


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
