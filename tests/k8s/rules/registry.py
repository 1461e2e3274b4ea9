"""Rules over manifests, and the faults that prove them.

A rule yields a complaint for each thing that is wrong. A fault changes manifests so that its rule complains;
tests/k8s/test_rules.py plants each, and fails for a rule without one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.k8s.manifests import OVERLAYS, Manifests

Rule = Callable[[Manifests], list[str]]
Plant = Callable[[Manifests], None]


@dataclass(frozen=True)
class Fault:
    """`says`: a part of the complaint it must raise. `only`: the overlays in which it can be planted."""

    rule: Rule
    what: str
    plant: Plant
    says: str
    only: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{name_of_rule(self.rule)}: {self.what}"


RULES: Final[list[Rule]] = []
FAULTS: Final[list[Fault]] = []


def rule(check: Callable[[Manifests], Iterator[str]]) -> Rule:
    """Makes a generator of complaints a rule."""

    @functools.wraps(check)
    def listed(manifests: Manifests) -> list[str]:
        return list(dict.fromkeys(check(manifests)))

    RULES.append(listed)
    return listed


def fault(
    of: Rule, what: str, *, says: str = "", only: tuple[str, ...] | str = OVERLAYS
) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        FAULTS.append(Fault(of, what, plant, says, (only,) if isinstance(only, str) else only))
        return plant

    return register


def name_of_rule(one: Rule) -> str:
    return getattr(one, "__name__", "?").replace("_", " ")
