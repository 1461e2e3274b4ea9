"""Tests that need Kubernetes stay out of a run unless it asks for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.selection import ON_REQUEST, not_asked_for

TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    ("expression", "places", "absent"),
    [
        ("", [TESTS], ["k8s", "cluster"]),
        ("not (slow or browser or kafka or crash)", [TESTS], ["k8s", "cluster"]),
        ("k8s", [TESTS], ["cluster"]),
        ("k8s or cluster", [TESTS], []),
        ("not k8s", [TESTS], ["cluster"]),
        ("k8s_but_longer", [TESTS], ["k8s", "cluster"]),
        ("", [TESTS / "k8s"], ["cluster"]),
        ("", [TESTS / "k8s" / "test_rules.py"], ["cluster"]),
        ("", [TESTS / "k8sish"], ["k8s", "cluster"]),
        ("not slow", [TESTS / "flows", TESTS / "cluster" / "test_scale.py"], ["k8s"]),
    ],
)
def test_a_marker_or_a_path_asks_for_them(expression: str, places: list[Path], absent: list[str]) -> None:
    assert not_asked_for(expression, places) == absent


def test_markers_and_folders_have_the_same_names() -> None:
    marked = {path.parent.name for path in TESTS.glob("*/test_*.py") if _on_request(path)}
    assert marked <= set(ON_REQUEST)
    for name in marked:
        assert all(f"pytest.mark.{name}" in path.read_text() for path in (TESTS / name).glob("test_*.py"))


def test_without_tools_the_run_ends_with_what_is_missing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(TESTS / "k8s")],
        env={"PATH": "/nowhere", "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "kubectl is not on PATH" in run.stdout
    assert "K8S_KUBECONFIG=FILE" in run.stdout


def _on_request(path: Path) -> bool:
    return any(f"pytestmark = pytest.mark.{name}" in path.read_text() for name in ON_REQUEST)
