"""Texts from outside: whatever they are, nothing raises, and what comes out can be sent."""

from __future__ import annotations

import unicodedata
from email.headerregistry import Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared_lib.domain.written import language_tag, mailable, plain_reference, shown_title

near_addresses = st.text(
    alphabet=st.sampled_from('ab@.[]"\\<>(),:; \r\n\0-_\u00e4\u3002\u202e\ud800\u00df'), max_size=40
)
anything = st.text(alphabet=st.characters(), max_size=600)


@given(st.one_of(anything, near_addresses, st.emails()))
@example("a@[")
@example("@")
@example("a@" + "\u00e4" * 200)
@example("a@" + "a." * 125 + "a")
def test_an_address_is_none_or_one_that_every_mail_program_reads_alike(text: str) -> None:
    found = mailable(text)
    if found is None:
        return
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    assert len(found) <= 254
    assert found.count("@") == 1
    assert mailable(found) == found
    assert Address(addr_spec=found).addr_spec == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anna@example.com", "anna@example.com"),
        ("Anna.O'Neil+films@Example.com", "Anna.O'Neil+films@Example.com"),
        ("anna@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "anna@xn--e1afmkfd.xn--p1ai"),
        ("x" * 64 + "@b.example", "x" * 64 + "@b.example"),
        ("x" * 65 + "@b.example", None),
        ("anna@example.com.", None),
        ("anna@localhost", "anna@localhost"),
        (None, None),
    ],
)
def test_addresses_by_example(text: str | None, found: str | None) -> None:
    assert mailable(text) == found


@given(anything, st.integers(20, 600))
def test_a_title_is_one_line_that_fits_and_turns_no_text(text: str, units_max: int) -> None:
    shown = shown_title(text, units_max, otherwise="prd_1")
    assert 1 <= len(shown.encode("utf-16-le", "surrogatepass")) // 2 <= units_max
    assert shown == shown.strip()
    assert all(unicodedata.category(mark)[0] != "C" or mark in "\u200c\u200d" for mark in shown), (
        "no controls, no overrides"
    )
    assert shown_title(shown, units_max, otherwise="prd_1") == shown


@given(anything, anything, st.integers(71, 600))
def test_a_reference_is_plain_and_tells_customers_apart(one: str, other: str, chars_max: int) -> None:
    first, second = plain_reference(one, chars_max), plain_reference(other, chars_max)
    assert len(first) <= chars_max
    assert all(mark.isascii() and (mark.isalnum() or mark in "-_") for mark in first)
    assert (first == second) is (one == other)


@given(anything)
def test_a_language_tag_is_short_and_plain(text: str) -> None:
    found = language_tag(text)
    assert found is None or (
        found == text and len(text) <= 35 and text.replace("-", "_").replace("_", "a").isalnum()
    )


@pytest.mark.parametrize("tag", ["ru", "pt-BR", "zh_Hant_TW", "de-CH-1996", "x" * 8])
def test_a_tag_is_kept(tag: str) -> None:
    assert language_tag(tag) == tag
