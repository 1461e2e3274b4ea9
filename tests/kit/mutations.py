"""A protection of the code as data: the text that removes it, and the test that must fail without it.

Each folder of tests lists its own in `protections.py` or `protections_of_*.py`, as `MUTATIONS`. `python -m tests.crash.mutations`
removes them one by one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Edit:
    """The first place of `old` in `file` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A protection that is removed by edits. `window` is its row in docs/crash-windows.md, `test` a pytest node id."""

    window: str
    removed: str
    test: str
    edits: tuple[Edit, ...]


def all_mutations() -> tuple[Mutation, ...]:
    """The mutations of every folder of tests, in the order of the file names."""
    return tuple(
        mutation
        for path in sorted(ROOT.glob("tests/*/protections*.py"))
        for mutation in importlib.import_module(f"tests.{path.parent.name}.{path.stem}").MUTATIONS
    )
