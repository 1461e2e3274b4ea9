"""Checks everything that comes from outside: JSON that can be parsed safely, text that can be stored.

Bodies, events, webhooks, tokens, and answers of providers and of the key service all pass here. Input that fails can never
be parsed or stored, so a retry does not help. No I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared_lib.domain.values import Value

# PostgreSQL's bigint. Our amounts, versions and counters are far smaller.
INTEGER_MAX: Final = 2**63 - 1
_INTEGER_CHARS_MAX: Final = 20


class UntrustedError(ValueError):
    """The reason, which may be logged and shown: it contains no part of the input."""


class Limits(Value, kw_only=True):
    """The greatest depth and number of values of a JSON document."""

    depth: int = 32
    values: int = 20_000


LIMITS: Final = Limits()


def json_of(raw: bytes, limits: Limits = LIMITS) -> Any:
    """The parsed document. Raises UntrustedError. The caller must limit the bytes; memory is a small multiple of them."""
    # Each value but the first follows a comma or a bracket. Those inside texts count too, so the estimate is never too low.
    brackets = raw.count(b"[") + raw.count(b"{")
    marks = brackets + raw.count(b",")
    if marks > limits.values:
        raise UntrustedError("too many values")
    try:
        document = _READER.decode(raw.decode())
    except UntrustedError:
        raise
    except RecursionError:
        raise UntrustedError("nested too deeply") from None
    except ValueError:  # a UnicodeDecodeError is one
        raise UntrustedError("no JSON in UTF-8") from None
    # ASCII without Unicode escapes contains no character that cannot be stored; the reader has checked the numbers.
    if brackets > limits.depth or marks >= limits.values or b"\\u" in raw or not raw.isascii():
        check(document, limits)
    return document


def check(document: Any, limits: Limits = LIMITS) -> None:
    """Check a document that another parser has read. Raises UntrustedError if it could not be stored."""
    level, values, depth = [document], 0, 0
    while level:
        values += len(level)
        if values > limits.values:
            raise UntrustedError("too many values")
        if depth == limits.depth and any(isinstance(value, Mapping | list | tuple) for value in level):
            raise UntrustedError("nested too deeply")
        level = [inner for value in level for inner in _inside(value)]
        depth += 1


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case str():
            check_text(value)
        case bool() | None:
            pass
        case int():
            _bounded(value)
        case float():
            if not math.isfinite(value):
                raise UntrustedError("a number that is none")
        case Mapping():
            for name in value:
                check_text(str(name))
            return value.values()
        case list() | tuple():
            return value
        case _:
            raise UntrustedError("a value that is no JSON")
    return ()


def check_text(text: str, *, chars_max: int | None = None) -> str:
    """The text itself. Raises UntrustedError when it is too long or cannot be stored."""
    if chars_max is not None and len(text) > chars_max:
        raise UntrustedError("a text that is too long")
    if not storable(text):
        raise UntrustedError("a text with a character that cannot be stored")
    return text


def storable(text: str) -> bool:
    """Whether the text has neither NUL, which PostgreSQL cannot store, nor an unpaired surrogate, which is no character."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):  # two parsers may choose different values
        raise UntrustedError("a name that appears twice")
    return read


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_CHARS_MAX:
        raise UntrustedError("a number that is too large")
    return _bounded(int(digits))


def _bounded(value: int) -> int:
    if not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise UntrustedError("a number that is too large")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise UntrustedError("a number that is too large")
    return value


def _no_constant(_: str) -> float:
    raise UntrustedError("a number that is none")


# Made once: making it costs as much as parsing a small body.
_READER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)
