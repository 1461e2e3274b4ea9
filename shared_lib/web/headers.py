"""Headers of a request by name. A request looks up seven of them, so one dictionary is made for all."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

_BY_NAME: Final = "boxoffice.headers"
"""The key of the ASGI scope where the dictionary stays. No server sets it."""


def first_header(scope: Scope, name: bytes) -> str | None:
    """The value of the first header with this lower-case name."""
    headers = scope.get(_BY_NAME)
    if headers is None:
        headers = scope[_BY_NAME] = dict(reversed(scope["headers"]))
    value = headers.get(name)
    return None if value is None else str(value, "latin-1")
