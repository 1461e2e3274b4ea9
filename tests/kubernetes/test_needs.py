"""`make kind_up` on a machine where something is missing: it says what, before anything waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.kubernetes.needs import DOCKER_ANSWERS_S, REGISTRY_ANSWERS_S
from tests.kubernetes.machine import Machine

STAGES = ("up", "cluster", "platform", "images", "deploy")
NO_REGISTRY = "dial tcp: lookup registry: no such host"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# kubectl of a cluster that has a Serving of its own.
SERVING = """case "$2" in
  deployments) echo '{"items": [{"metadata": {"labels": {"app.kubernetes.io/version": "1.15.2"}}}]}';;
  configmap) echo '{"data": {"ingress-class": "box.example"}}';;
esac"""


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
    machine: Machine, pull: str, why: str
) -> None:
    machine.has("kubectl", "exit 0")
    machine.has("kind", "exit 0")
    machine.has("docker", docker(pull))
    told = machine.run("cluster", KIND_NODE_IMAGE="example.invalid/node:v1")
    assert told.returncode == 1
    assert "example.invalid/node:v1" in told.stderr
    assert why in told.stderr
    assert not [call for call in machine.calls() if call.startswith("kind create")]


def test_a_stage_before_its_cluster_names_the_stage_that_makes_it(machine: Machine) -> None:
    machine.has("kubectl", "exit 1")
    told = machine.run("deploy")
    assert told.returncode == 1
    assert "make kind_cluster" in told.stderr


def test_the_callers_own_cluster_is_never_asked(machine: Machine) -> None:
    (machine.folder / "kubeconfig").touch()
    machine.has("kubectl", f'echo "with $KUBECONFIG" >>{machine.folder}/calls; exit 1')
    machine.run("deploy", KUBECONFIG="/callers/own")
    assert f"with {machine.folder}/kubeconfig" in machine.calls()


def test_a_cluster_that_is_there_is_kept_and_woken(machine: Machine) -> None:
    machine.has("kubectl", "exit 0")
    machine.has("kind", '[ "$1 $2" = "get clusters" ] && echo boxoffice; exit 0')
    machine.has("docker", '[ "$1" = inspect ] && echo false; exit 0')
    told = machine.run("cluster")
    assert told.returncode == 0, told.stderr
    calls = machine.calls()
    assert "docker start boxoffice-control-plane" in calls
    assert not [call for call in calls if call.startswith("kind create")]


def test_a_platform_that_is_there_is_kept(machine: Machine) -> None:
    (machine.folder / "kubeconfig").touch()
    machine.has("kubectl", SERVING)
    told = machine.run("platform")
    assert told.returncode == 0, told.stderr
    assert "Knative Serving 1.15.2 is there and available, ingress box.example: kept." in told.stdout
    assert not [call for call in machine.calls() if call.split()[1] in ("apply", "patch")]


def test_a_platform_that_does_not_become_available_is_not_touched_and_says_why(machine: Machine) -> None:
    (machine.folder / "kubeconfig").touch()
    recorded = Path(__file__).with_name("recorded.json")
    machine.has(
        "kubectl", f'[ "$1" = wait ] && exit 1; [ "$2" = pods ] && exec /bin/cat {recorded}; {SERVING}'
    )
    told = machine.run("platform")
    assert told.returncode == 1
    assert "Not everything in knative-serving became available" in told.stderr
    assert "Unschedulable" in told.stderr
    assert not [call for call in machine.calls() if call.split()[1] in ("apply", "patch")]


def test_a_release_that_cannot_be_fetched_is_named_with_what_helps(machine: Machine) -> None:
    (machine.folder / "kubeconfig").touch()
    machine.has("kubectl", """[ "$2" = deployments ] && echo '{"items": []}'; exit 0""")
    nowhere = "http://127.0.0.1:9"
    told = machine.run(
        "platform", https_proxy=nowhere, HTTPS_PROXY=nowhere, KNATIVE_SERVING="v0.0.1", KOURIER="0.0.1"
    )
    assert told.returncode == 1
    assert "knative-v0.0.1/serving-crds.yaml cannot be fetched" in told.stderr
    assert "what is there and available is kept" in told.stderr
    assert "Traceback" not in told.stderr
