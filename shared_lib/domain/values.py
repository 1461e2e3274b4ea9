"""Values: what they are made of, and how to change one, by making another."""

from __future__ import annotations

from typing import TYPE_CHECKING, dataclass_transform

import msgspec
from msgspec import field as field  # noqa: PLC0414  # re-exported: of a field whose default is made for each value

if TYPE_CHECKING:
    # Checkers know this function: names and types of the changes are held against the fields.
    from dataclasses import replace as replace  # noqa: PLC0414
else:
    from msgspec.structs import replace as replace  # noqa: PLC0414


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value(msgspec.Struct, frozen=True):
    """What a frozen dataclass is, made in C: its fields are those of its annotations, it cannot be changed, and two are equal
    when they are of one class and their fields are (decision 0041).

    `class Price(Value, kw_only=True)`: its fields are given by name. Types are not checked: mypy does that, and
    `__post_init__` checks what mypy cannot.
    """
