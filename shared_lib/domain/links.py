"""Links that a provider wants our customers to follow."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

# Scheme and host: what follows them leads nowhere else.
_ORIGIN: Final = re.compile(r"[^/?#]*//[^/?#]*")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FORBIDDEN = frozenset('\\ "<>')


def followable(link: str) -> bool:
    """Whether a customer may be sent there: https, or http on this machine, where the sandbox is."""
    if not (link.isascii() and link.isprintable() and _FORBIDDEN.isdisjoint(link)):
        return False
    origin = _ORIGIN.match(link)
    return origin is not None and _leads_to_a_page(origin.group())


@lru_cache(maxsize=256)  # a provider has few hosts
def _leads_to_a_page(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
