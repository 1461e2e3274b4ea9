"""Reads a provider's JSON: documented fields are validated, new fields and values are tolerated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from shared_lib.domain.links import followable
from shared_lib.domain.money import Money
from shared_lib.untrusted import storable

TEXT_CHARS_MAX = 500
LINK_CHARS_MAX = 4096
MINOR_MAX = 10**14  # a sum of very many such amounts still fits a bigint
_YEARS = range(2000, 2200)

S = TypeVar("S", bound=StrEnum)

log = logging.getLogger(__name__)


class Unreadable(ValueError):  # noqa: N818  # a finding about a provider's bytes
    """A field is missing or not in its documented form. Names the field, never its value."""


def mapping(value: object) -> Mapping[str, Any]:
    """The object; empty for anything that is not a JSON object."""
    return value if isinstance(value, dict) else {}


def text(body: Mapping[str, Any], name: str, *, chars_max: int = TEXT_CHARS_MAX) -> str:
    """A text that is not empty, short enough for an index, and storable. Raises Unreadable."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= chars_max or not storable(value):
        raise Unreadable(name)
    return value


def text_or_none(body: Mapping[str, Any], name: str, *, chars_max: int = TEXT_CHARS_MAX) -> str | None:
    return None if body.get(name) is None else text(body, name, chars_max=chars_max)


def checkout_link(body: Mapping[str, Any], name: str) -> str | None:
    """The link to pay at. None without a link, or when it is not safe to follow (see `followable`)."""
    value = text_or_none(body, name, chars_max=LINK_CHARS_MAX)
    if value is None or followable(value):
        return value
    log.error("checkout_link_refused", extra={"field": name})
    return None


def money(body: Mapping[str, Any], name: str, currency: str) -> Money:
    """An amount in integer minor units, not negative. Raises Unreadable."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MINOR_MAX:
        raise Unreadable(name)
    try:
        return Money(value, currency)
    except ValueError:
        raise Unreadable("currency") from None


def instant(body: Mapping[str, Any], name: str) -> datetime | None:
    value = text_or_none(body, name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Unreadable(name) from None
    # Near the ends of the calendar, a time zone or a margin would exceed it.
    if moment.tzinfo is None or moment.year not in _YEARS:
        raise Unreadable(name)
    return moment


def member(body: Mapping[str, Any], name: str, unknown: S) -> S:
    """The enum's member. A value that we do not know is `unknown`, and is logged."""
    value = text(body, name)
    try:
        return type(unknown)(value)
    except ValueError:
        log.warning("provider says %s=%r, taken for %r", name, value[:40], unknown.value)
        return unknown
