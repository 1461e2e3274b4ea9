"""JSON of others: what is read, and what is refused whatever reads it next."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.untrusted import INTEGER_MAX, Limits, UntrustedError, check, check_text, json_of, storable

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "two documents": b"{}{}",
    "no UTF-8": b'"\xff"',
    "UTF-16": '"a"'.encode("utf-16"),
    "NUL": b'["\\u0000"]',
    "NUL in a name": b'{"\\u0000": 1}',
    "half a surrogate pair": b'["\\ud83d"]',
    "the other half in a name": b'{"\\ude00": 1}',
    "NaN": b"NaN",
    "minus infinity": b"[-Infinity]",
    "a float beyond all": b"[1e400]",
    "one more than a bigint": b"[9223372036854775808]",
    "a number of many digits": b"9" * 5000,
    "a name twice": b'{"a": 1, "a": 1}',
    "a name twice, deep inside": b'[{"b": {"a": 1, "\\u0061": 2}}]',
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 500 + b"]" * 500,
    "33 levels": b"[" * 34 + b"]" * 34,
    "many values": b"[" + b"0," * 30_000 + b"0]",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(UntrustedError) as refused:
        json_of(REFUSED[name])
    assert len(str(refused.value)) < 60


def test_the_limits_are_reached_and_not_passed() -> None:
    assert json_of(b"[" * 32 + b"]" * 32)
    assert json_of(b"[9223372036854775807, -9223372036854775807, 1e308]")
    with pytest.raises(UntrustedError):
        json_of(b"[[[]]]", Limits(depth=2))
    assert json_of(b"[[]]", Limits(depth=2)) == [[]]
    with pytest.raises(UntrustedError):
        json_of(b"[1, 2, 3]", Limits(values=3))
    assert json_of(b"[1, 2]", Limits(values=3)) == [1, 2]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_a_document_is_refused_by_both_ways_or_by_none(value: Any) -> None:
    """Reading the bytes with our parser, and checking what another parser read, give the same verdict and value."""
    try:
        assert json_of(json.dumps(value).encode()) == value
        check(value)
    except UntrustedError:
        assert not _fine(value)
        with pytest.raises(UntrustedError):
            check(value)
    else:
        assert _fine(value)


def _fine(value: Any) -> bool:
    match value:
        case str():
            return "\0" not in value and not any(0xD800 <= ord(it) <= 0xDFFF for it in value)
        case bool() | None:
            return True
        case int():
            return abs(value) <= INTEGER_MAX
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_fine, value)) and all(map(_fine, value.values()))
        case _:
            return all(map(_fine, value))


@given(st.text(st.characters()))
def test_a_text_is_storable_exactly_when_it_has_neither_nul_nor_half_a_pair(text: str) -> None:
    assert storable(text) is _fine(text)


def test_a_text_may_be_as_long_as_is_said() -> None:
    assert check_text("abc", chars_max=3) == "abc"
    with pytest.raises(UntrustedError):
        check_text("abcd", chars_max=3)
