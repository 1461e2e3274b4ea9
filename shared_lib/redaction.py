"""Redacts log lines: no secret, no card number, no control character, and no more than a few kilobytes.

Values come from callers, providers and exceptions. Each pattern takes linear time: everything after its last unbounded
repeat is optional, so a search cannot fail after reading far (tests/edge/test_patterns.py).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from shared_lib.visible import visible

HIDDEN: Final = "[hidden]"
_LEFT_OUT: Final = "[left out]"
READ_CHARS_MAX: Final = 32 * 1024  # of one text; the rest is dropped unread
SHOWN_CHARS_MAX: Final = 8 * 1024  # a traceback of 60 frames; of a longer text the middle is dropped
VALUE_CHARS_MAX: Final = 16 * 1024  # of a container, all its texts together
DEPTH_MAX: Final = 6
_SECRET_CHARS_MIN: Final = 6
_CARD_DIGITS: Final = range(13, 20)
_IN_A_WORD: Final = range(
    15, 17
)  # digits between letters: more, and hexadecimal ids would be taken for cards

_NAMES: Final = (
    r"authorization|cookie|token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|signature"
    r"|credential|cvc|cvv|card[_-]?number"
)
_SECRET_NAME: Final = re.compile(_NAMES + r"|\bpan\b|\bpwd\b|\bdsn\b", re.IGNORECASE)

# Lower-case words that may stand beside a secret. Few values have one; only those are searched with the patterns.
_SUSPECT: Final = (
    "authorization", "cookie", "token", "secret", "passw", "passphrase", "key", "signature", "credential", "cvc", "cvv",
    "card", "pan", "pwd", "bearer", "basic", "digest", "://", "eyj", "sk_", "rk_", "pk_", "whsec_", "live_", "test_",
    "akia", "asia", "a21aa", "input_value",
)  # fmt: skip
_MANY_DIGITS: Final = re.compile(r"(?:\d[ -]?){12}\d")
_LONG_KEY_CHARS: Final = 80
# `harmless` looks for thirteen digits, spaces and dashes in any order: every match of the pattern contains them.
_AS_DIGITS: Final = bytes(ord("0" if chr(byte) in "0123456789 -" else "x") for byte in range(256))
_DIGITS_MIN: Final = b"0" * 13
_BETWEEN: Final = "|"  # in no pattern and no word above, so nothing is found across two texts
# Headers, and inputs quoted by pydantic: their value ends with the line.
_LINES: Final = re.compile(
    r"(authorization|cookie|input_value)([\"']?\s{0,4}[:=]\s{0,4})[^\r\n]*", re.IGNORECASE
)
# name=value and name: value, in queries, forms, JSON, connection strings and environments.
_NAMED: Final = re.compile(
    rf"((?:{_NAMES}|\bpan\b|\bpwd\b)[\w-]{{0,40}}[\"']?\s{{0,4}}[:=]\s{{0,4}})"
    r"(?:\"[^\"\r\n]*\"?|'[^'\r\n]*'?|[^\s\"'&,;<>]+)",
    re.IGNORECASE,
)
_SHAPES: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----(?:[^-]|-(?!----END))*"
    r"|\b(?i:bearer)(?:\s|\\[tnr])+[^\s\"',;]*"
    r"|eyJ[\w-]{8,}(?:\.[\w-]*)*"  # a JWT or JWE of any number of parts, a JSON object in base64
    r"|(?<![A-Za-z0-9])(?:whsec_[\w+/=-]*|(?:sk|rk|pk)_[\w-]*|(?:live|test)_[\w-]{20,})"  # Stripe, YooKassa
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS
    r"|A21AA[\w-]{20,}|access_token\$[\w$-]*|(?<![\w-])[AE][\w-]{79}(?![\w-])"  # PayPal, Braintree
)
_BASIC: Final = re.compile(r"\b(basic|digest)\s{1,4}([\w+/=-]{4,})", re.IGNORECASE)
_URL: Final = re.compile(r"://\S*")
_DIGITS: Final = re.compile(r"(?<!\d)(?:\d[ -]?){12}\d(?:[ -]?\d)*")
_PLAIN: Final = (bool, float, datetime, date, time, timedelta, Decimal)


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a field with this name holds a secret, so that its value is never written."""
    return _SECRET_NAME.search(name) is not None


def harmless(line: Mapping[str, Any]) -> bool:
    """Whether a line may be written unchanged: no name is a secret's, and `redacted` would return each value as it is.

    Short texts are searched joined, at a fifth of the cost of searching each. False only means: call `redacted`.
    """
    texts = []
    for value in line.values():
        if isinstance(value, str):
            if len(value) >= _LONG_KEY_CHARS:
                return False
            texts.append(value)
        elif not (value is None or isinstance(value, _PLAIN) or (type(value) is int and abs(value) < 10**12)):
            return False
    text = _BETWEEN.join(texts)
    if not (text.isascii() and text.isprintable()) or _is_suspect_word_in(text):
        return False
    return _DIGITS_MIN not in text.encode().translate(_AS_DIGITS) and not _any_secret(tuple(line))


@lru_cache(maxsize=1024)  # the names of log fields come from our code
def _any_secret(names: tuple[str, ...]) -> bool:
    return any(map(is_secret, names))


def redacted(value: Any) -> Any:
    """The value in a form that may be logged. Anything but texts, numbers, instants and containers becomes its repr."""
    return _shown(value, 0, _Left())


@dataclass(slots=True)
class _Left:
    """How many more characters may be shown of one value, nested values included."""

    chars: int = VALUE_CHARS_MAX

    def text(self, value: str) -> str:
        shown = _text(value) if self.chars > 0 else _LEFT_OUT
        self.chars -= len(shown) + 8  # an item costs its quotes and commas too
        return shown


def _shown(value: Any, depth: int, left: _Left) -> Any:
    if value is None or isinstance(value, _PLAIN):
        left.chars -= 8
        return value
    if isinstance(value, str):
        return left.text(value)
    if isinstance(value, int):
        left.chars -= 8
        return value if abs(value) < 10**12 else _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return left.text(bytes(value[:READ_CHARS_MAX]).decode("utf-8", "backslashreplace"))
    if depth >= DEPTH_MAX:
        return _LEFT_OUT
    if isinstance(value, Mapping):
        return _mapping(value, depth, left)
    if isinstance(value, Sequence | AbstractSet):
        return _items(value, depth, left)
    return left.text(repr(value))


def _items(value: Iterable[Any], depth: int, left: _Left) -> list[Any]:
    shown: list[Any] = []
    for item in value:
        if left.chars <= 0:
            return [*shown, _LEFT_OUT]
        shown.append(_shown(item, depth + 1, left))
    return shown


def _mapping(value: Mapping[Any, Any], depth: int, left: _Left) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, item in value.items():
        if left.chars <= 0:
            return shown | {"...": _LEFT_OUT}
        name = str(key)
        shown[left.text(name)] = HIDDEN if is_secret(name) else _shown(item, depth + 1, left)
    return shown


def _number(value: int) -> int | str:
    if abs(value) >= 10**40:  # Python refuses to convert much longer numbers; the digits are useless anyway
        return "[a number of more than 40 digits]"
    return value if str(value) == (shown := _text(str(value))) else shown


def _text(value: str) -> str:
    if len(value) < _SECRET_CHARS_MIN:
        return visible(value)
    read = value[:READ_CHARS_MAX]
    if _is_suspect(read):
        read = _without_secrets(read)
    if _MANY_DIGITS.search(read):
        read = _DIGITS.sub(_card, read)
    left_out = len(value) - len(value[:READ_CHARS_MAX]) + max(0, len(read) - SHOWN_CHARS_MAX)
    if left_out:
        half = SHOWN_CHARS_MAX // 2
        tail = read[-half:] if len(read) > SHOWN_CHARS_MAX else read[half:]
        read = f"{read[:half]} [{left_out} characters left out] {tail}"
    return visible(read)


def _is_suspect(text: str) -> bool:
    return len(text) >= _LONG_KEY_CHARS or _is_suspect_word_in(text)


def _is_suspect_word_in(text: str) -> bool:
    lowered = text.lower()
    for word in _SUSPECT:  # noqa: SIM110 - any() of a generator takes twice as long, for each value of each line
        if word in lowered:
            return True
    return False


def _without_secrets(text: str) -> str:
    text = _URL.sub(_without_user, text)
    text = _LINES.sub(rf"\1\2{HIDDEN}", text)
    text = _SHAPES.sub(HIDDEN, text)
    text = _BASIC.sub(_basic, text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def _without_user(match: re.Match[str]) -> str:
    """://user:password@host. The last @ ends the password, which may contain any character when it was not encoded."""
    _, at, rest = match.group().rpartition("@")
    return f"://{HIDDEN}@{rest}" if at else match.group()


def _basic(match: re.Match[str]) -> str:
    """Hidden only if it decodes to user:password: "Basic" may also be the name of a subscription."""
    word = match.group(2)
    try:
        decoded = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return match.group()
    return f"{match.group(1)} {HIDDEN}" if b":" in decoded else match.group()


def _card(match: re.Match[str]) -> str:
    """Hide the whole run of digits when consecutive groups form a card number, or when it is longer than any card number."""
    run, text = match.group(), match.string
    if (
        text[max(0, match.start() - 1) : match.start()].isalpha()
        or text[match.end() : match.end() + 1].isalpha()
    ):
        digits = re.sub("[ -]", "", run)  # an id may have dashes between its digits
        return HIDDEN if len(digits) in _IN_A_WORD and _luhn(digits) else run
    if sum(map(str.isdigit, run)) >= _CARD_DIGITS.stop:
        return HIDDEN
    groups = re.split("[ -]", run)
    windows = (
        "".join(groups[first:last])
        for first in range(len(groups))
        for last in range(first + 1, len(groups) + 1)
    )
    return HIDDEN if any(len(one) in _CARD_DIGITS and _luhn(one) for one in windows) else run


def _luhn(digits: str) -> bool:
    values = [int(character) for character in digits]
    doubled = [sum(divmod(2 * value, 10)) for value in values[-2::-2]]
    return (sum(values[-1::-2]) + sum(doubled)) % 10 == 0
