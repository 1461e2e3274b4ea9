"""Where a customer may be sent: decided by the scheme and host of a link, whatever follows them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared_lib.domain.links import followable

PARTS = [
    *"/?#@:[]. \\\"<>\t\n\x00\u00e9%&;=", "//", "https:", "http:", "HTTPS://", "https://", "http://", "localhost", "127.0.0.1",
    "[::1]", "evil.example", "pay.example", ":443", ":99999", ":port", "user:word@", "javascript:", "data:", "orders", "http",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
@example("https://pay.example@evil.example/")
@example("https://pay.example/@evil.example")
@example("http://evil.example?//localhost")
@example("https:/pay.example//evil.example")
def test_a_link_leads_where_a_parser_of_all_of_it_says(link: str) -> None:
    assert followable(link) is _by_all_of_it(link)


def _by_all_of_it(link: str) -> bool:
    if not (link.isascii() and link.isprintable()) or any(mark in link for mark in '\\ "<>'):
        return False
    try:
        parts = urlsplit(link)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    )


@pytest.mark.parametrize("tail", ["", "/", "/a?b#c", "?a=//b", "#a"])
def test_what_follows_the_host_does_not_matter(tail: str) -> None:
    assert followable(f"https://pay.example{tail}")
    assert followable(f"http://127.0.0.1:8080{tail}")
    assert not followable(f"http://pay.example{tail}")
    assert not followable(f"https://customer@pay.example{tail}")
