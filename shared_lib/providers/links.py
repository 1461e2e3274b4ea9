"""Links that a provider wants our customers to follow."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def followable(link: str) -> bool:
    """Whether a customer may be sent there: https, or http on this machine, where the sandbox is."""
    if not (link.isascii() and link.isprintable()) or any(mark in link for mark in '\\ "<>'):
        return False
    try:
        parts = urlsplit(link)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
