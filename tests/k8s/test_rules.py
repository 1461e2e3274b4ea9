"""Every rule holds for both overlays, and complains of the faults it is for."""

from __future__ import annotations

from functools import cache

import pytest

from tests.k8s.manifests import VARIANTS, Manifests, rendered
from tests.k8s.rules import FAULTS, RULES, Fault, Rule, name_of_rule

pytestmark = pytest.mark.k8s
PLANTED = [(one, variant) for one in FAULTS for variant in one.only]


@cache
def complaints(rule: Rule, variant: str) -> list[str]:
    """Of the manifests as they are."""
    return rule(rendered(variant))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rule", RULES, ids=name_of_rule)
def test_the_manifests_keep(rule: Rule, variant: str) -> None:
    assert complaints(rule, variant) == []


@pytest.mark.parametrize(
    ("planted", "variant"), PLANTED, ids=[f"{one.title} [{variant}]" for one, variant in PLANTED]
)
def test_a_fault_is_seen(planted: Fault, variant: str) -> None:
    faulty = rendered(variant).planted()
    planted.plant(faulty)

    new = set(planted.rule(faulty)) - set(complaints(planted.rule, variant))

    assert any(planted.says in complaint for complaint in new), new


@pytest.mark.parametrize("rule", RULES, ids=name_of_rule)
def test_every_rule_has_a_fault_that_it_sees(rule: Rule) -> None:
    assert [one.title for one in FAULTS if one.rule is rule]


def test_rules_do_not_change_what_they_read() -> None:
    for variant in VARIANTS:
        sound = rendered(variant)
        before = sound.planted()
        for rule in RULES:
            rule(sound)
        assert sound == before


def test_titles_of_faults_are_their_own() -> None:
    titles = [one.title for one in FAULTS]
    assert len(set(titles)) == len(titles)


def test_a_rendering_is_not_empty() -> None:
    assert all(
        isinstance(rendered(variant), Manifests) and len(rendered(variant).pods) > 9 for variant in VARIANTS
    )
