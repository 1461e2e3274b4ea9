"""`make kind_up` on a machine where something is missing: it says what, before anything waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.kubernetes.needs import DOCKER_ANSWERS_S, REGISTRY_ANSWERS_S
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
STAGES = ("up", "cluster", "platform", "images", "deploy")
NO_REGISTRY = "dial tcp: lookup registry: no such host"


class Machine:
    """A folder of tools, and nothing else on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        paths = {"PATH": str(self.folder), "K8S_BIN": "", "K8S_KUBECONFIG": str(self.folder / "kubeconfig")}
        return subprocess.run(
            [sys.executable, "-m", "infra.kubernetes", *arguments],
            cwd=ROOT,
            env=os.environ | paths | env,
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def docker(pull: str) -> str:
    """Docker that answers, has no image, and pulls as `pull` does."""
    return f"""case "$1 $2" in
  version*) exit 0;;
  "image inspect") echo "No such image" >&2; exit 1;;
  pull*) {pull};;
esac"""


def test_everything_that_is_missing_is_named_at_once(machine: Machine) -> None:
    told = machine.run("up")
    assert told.returncode == 1
    for name in ("docker", "kind", "kubectl"):
        assert f"{name} is not installed: https://" in told.stderr
    assert "make up_all" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_says_what_it_lacks(machine: Machine, stage: str) -> None:
    told = machine.run(stage)
    assert told.returncode == 1
    assert "is not installed" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("answer", ["exit 1", "exec /bin/sleep 600"], ids=["refuses", "hangs"])
def test_docker_that_does_not_answer_is_named(machine: Machine, answer: str) -> None:
    for name in ("kind", "kubectl"):
        machine.has(name, "exit 0")
    machine.has("docker", answer)
    told = machine.run("up")
    assert told.returncode == 1
    assert told.stderr.startswith("Docker does not answer.")


def test_both_limits_together_stay_within_ten_seconds() -> None:
    assert DOCKER_ANSWERS_S + REGISTRY_ANSWERS_S < 10


@pytest.mark.parametrize(
    ("pull", "why"),
    [
        ("exec /bin/sleep 600", "no registry answered"),
        (f"echo '{NO_REGISTRY}' >&2; exit 1", NO_REGISTRY),
        ("echo 'v1: Pulling from somewhere'; echo 'disk full' >&2; exit 1", "disk full"),
    ],
    ids=["silent", "refused", "broken off"],
)
def test_a_node_image_that_cannot_be_pulled_is_named_and_kind_is_not_asked(
    machine: Machine, tmp_path: Path, pull: str, why: str
) -> None:
    machine.has("kubectl", "exit 0")
    machine.has("kind", f'[ "$1" = create ] && echo created >{tmp_path}/created; exit 0')
    machine.has("docker", docker(pull))
    told = machine.run("cluster", KIND_NODE_IMAGE="example.invalid/node:v1")
    assert told.returncode == 1
    assert "example.invalid/node:v1" in told.stderr
    assert why in told.stderr
    assert not (tmp_path / "created").exists()


def test_a_stage_before_its_cluster_names_the_stage_that_makes_it(machine: Machine) -> None:
    machine.has("kubectl", "exit 1")
    told = machine.run("deploy")
    assert told.returncode == 1
    assert "make kind_cluster" in told.stderr
