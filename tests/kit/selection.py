"""Tests that need Kubernetes run when they are asked for, and then all of them: without their tools they fail.

Asked for means: the -m expression names their marker, or the command line names a path in their folder. Otherwise they are
deselected, so that a machine without Kubernetes passes `make test`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ON_REQUEST: Final = ("k8s", "cluster")
_TESTS: Final = Path(__file__).parents[1]


def not_asked_for(expression: str, places: Sequence[Path]) -> list[str]:
    """The markers whose tests stay out of a run with this -m expression and these paths on its command line."""
    named = set(re.findall(r"\w+", expression))
    return [
        marker
        for marker in ON_REQUEST
        if marker not in named and not any(place.is_relative_to(_TESTS / marker) for place in places)
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    absent = not_asked_for(config.option.markexpr, places)
    kept = [item for item in items if not any(item.get_closest_marker(marker) for marker in absent)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
