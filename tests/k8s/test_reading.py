"""The readers that rules stand on: quantities, durations, cron, and what NetworkPolicies allow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest

from tests.k8s.manifests import Manifests, selects
from tests.k8s.network import EGRESS, INGRESS, Place, allowed
from tests.k8s.quantities import cron_mistake, iso_seconds, quantity
from tests.k8s.tools import missing

pytestmark = pytest.mark.k8s


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", Decimal("0.25")),
        ("2", Decimal(2)),
        (2, Decimal(2)),
        ("1.5", Decimal("1.5")),
        ("2Gi", Decimal(2 << 30)),
        ("2G", Decimal(2_000_000_000)),
        ("1e3", Decimal(1000)),
        ("5Zi", None),
        ("5 Gi", None),
        ("5gb", None),
        ("5GiB", None),
        ("", None),
        ("-1", None),
    ],
)
def test_a_quantity_is_a_number_with_a_known_unit(text: object, value: Decimal | None) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0.5S", 0.5),
        ("PT20S", 20.0),
        ("PT1M30S", 90.0),
        ("P1DT1H", 90_000.0),
        ("1s", None),
        ("0.5", None),
        ("PT", None),
        ("P", None),
        ("P1DT", None),
        ("PT1S ", None),
        ("pt1s", None),
        ("P1M", None),
    ],
)
def test_a_duration_is_of_iso_8601_and_has_a_length(text: str, seconds: float | None) -> None:
    assert iso_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "*/5 * * * *", "2-59/5 * * * *", "0 3 1,15 * *", "0 0 * JAN-MAR mon", "59 23 31 12 6"],
)
def test_five_fields_within_their_bounds_are_cron(text: str) -> None:
    assert cron_mistake(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "* * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "5-1 * * * *",
        "1-2-3 * * * *",
        "* * * * MONDAY",
        "@hourly",
        " * * * * *",
        "",
        None,
    ],
)
def test_anything_else_is_not(text: object) -> None:
    assert cron_mistake(text) is not None


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ({}, True),
        (None, False),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "1", "b": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_a_selector_takes_labels_as_kubernetes_does(selector: dict[str, Any] | None, taken: bool) -> None:
    assert selects(selector, {"a": "1"}) is taken


A: Final = Place("a", {"app": "a"})
B: Final = Place("b", {"app": "b"}, ports={"http": 8080})
WORLD: Final = Place("world", address="203.0.113.7")
TO_A: Final = {"podSelector": {"matchLabels": {"app": "a"}}}


def _policies(*specs: dict[str, Any]) -> Manifests:
    return Manifests("kind", [{"kind": "NetworkPolicy", "spec": spec} for spec in specs])


def _from_a(**rule: Any) -> Manifests:
    return _policies({**TO_A, "policyTypes": [EGRESS], "egress": [rule]})


def test_without_a_policy_everything_is_allowed() -> None:
    assert allowed(_policies(), A, B, 8080)


def test_a_policy_of_one_side_is_not_enough_where_the_other_side_has_one() -> None:
    deny = {"podSelector": {}, "policyTypes": [INGRESS, EGRESS]}
    out = {**TO_A, "policyTypes": [EGRESS], "egress": [{}]}
    come_in = {"podSelector": {"matchLabels": {"app": "b"}}, "ingress": [{"from": [TO_A]}]}
    assert not allowed(_policies(deny), A, B, 8080)
    assert not allowed(_policies(deny, out), A, B, 8080)
    assert not allowed(_policies(deny, come_in), A, B, 8080)
    assert allowed(_policies(deny, out, come_in), A, B, 8080)
    assert not allowed(_policies(deny, out, come_in), B, A, 8080)


@pytest.mark.parametrize(
    ("ports", "open_"),
    [
        ([{"port": 8080}], True),
        ([{"port": "http"}], True),
        ([{"port": "https"}], False),
        ([{"port": 8000, "endPort": 8100}], True),
        ([{"port": 8081, "endPort": 8100}], False),
        ([{"port": 8080, "protocol": "UDP"}], False),
        ([{"protocol": "TCP"}], True),
        ([], True),
    ],
)
def test_ports_are_names_numbers_and_ranges(ports: list[dict[str, Any]], open_: bool) -> None:
    assert allowed(_from_a(ports=ports), A, B, 8080) is open_


def test_a_block_of_addresses_is_about_the_world_and_has_holes() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    assert allowed(_from_a(to=[block]), A, WORLD, 443)
    assert not allowed(_from_a(to=[block]), A, Place("private", address="10.1.2.3"), 443)
    assert not allowed(_from_a(to=[block]), A, B, 8080)


def test_a_peer_without_a_namespace_is_of_the_policys_own() -> None:
    elsewhere = Place("b", {"app": "b"}, namespace="default")
    peer = {"podSelector": {"matchLabels": {"app": "b"}}}
    assert not allowed(_from_a(to=[peer]), A, elsewhere, 8080)
    assert allowed(_from_a(to=[{"namespaceSelector": {}, **peer}]), A, elsewhere, 8080)


def test_what_is_missing_is_named() -> None:
    nothing = {"PATH": "/nowhere"}
    assert any("kubectl" in one for one in missing(nothing, apiserver=False))
    assert any("K8S_KUBECONFIG" in one for one in missing(nothing, apiserver=True))
    scripts = nothing | {"K8S_TOOLS": "/nowhere"}
    assert any("control-plane.sh" in one for one in missing(scripts, apiserver=True))
    assert any("K8S_CRDS" in one for one in missing(scripts, apiserver=True))
    assert any("K8S_CRDS names" in one for one in missing(scripts | {"K8S_CRDS": "/nowhere"}, apiserver=True))
    given = nothing | {"K8S_KUBECONFIG": "/nowhere/kubeconfig"}
    assert any("is not a file" in one for one in missing(given, apiserver=True))
