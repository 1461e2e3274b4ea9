"""Form-encoded bodies and queries, with nested names in brackets, as nested objects and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

_NAME = re.compile(r"([^\[\]]{1,60})((?:\[[^\[\]]{0,60}\]){0,6})")


def parsed(raw: bytes) -> dict[str, Any]:
    """The body. Raises ValueError for what is no form."""
    return nested(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=500))


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=x` is {"a": {"b": ["x"]}}. Raises ValueError for a name that is none."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError("a name that cannot be read")
        steps = [found[1], *(step.strip("[]") for step in found[2].split("][") if step)]
        _put(tree, steps, value)
    return {name: _listed(value) for name, value in tree.items()}


def _put(tree: dict[str, Any], steps: list[str], value: str) -> None:
    for step in steps[:-1]:
        branch = tree.setdefault(step, {})
        if isinstance(branch, str):
            raise ValueError("a name that is a value and an object")  # noqa: TRY004  # of the form
        tree = branch
    last = steps[-1] or str(len(tree))  # `expand[]=x` appends
    tree[last] = value


def _listed(value: Any) -> Any:
    """Objects whose names are 0, 1, 2 ... are lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(of_it) for name, of_it in value.items()}
    if list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner
