"""Bodies as Stripe wants them: application/x-www-form-urlencoded, nested names in brackets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlencode

from shared_lib.providers.transport import Encoding


def encoded(body: Mapping[str, object]) -> bytes:
    """`{"a": {"b": [1, True]}, "c": None}` is `a[b][0]=1&a[b][1]=true`: a None is left out."""
    return urlencode([pair for name, value in body.items() for pair in _pairs(name, value)]).encode()


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield name, "true" if value else "false"
        case Mapping():
            for inner, of_it in value.items():
                yield from _pairs(f"{name}[{inner}]", of_it)
        case list() | tuple():
            for index, of_it in enumerate(value):
                yield from _pairs(f"{name}[{index}]", of_it)
        case _:
            yield name, str(value)


FORM: Final = Encoding("application/x-www-form-urlencoded", encoded)
