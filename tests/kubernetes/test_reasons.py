"""Why pods do not run. recorded.json is what `kubectl get -o json` told of real ones, Kubernetes 1.34 and Knative 1.15."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.kubernetes.deploy import troubles
from infra.kubernetes.reasons import crashing, hopeless, reasons

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text())["items"]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in RECORDED if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("Pod", "missing-image", ['ErrImagePull: failed to pull and unpack image "dev.local/nothing:1"']),
        ("Pod", "crashing", ["ended with 3 (Error), restarted 2 times", "CrashLoopBackOff"]),
        ("Pod", "too-large", ["Unschedulable: 0/1 nodes are available: 1 Insufficient cpu"]),
        ("Pod", "no-secret", ['CreateContainerConfigError: secret "provider" not found']),
        ("Pod", "not-ready", ["runs and is not ready"]),
        ("Job", "failing-job", ["BackoffLimitExceeded"]),
        ("Service", "door-outside", ["RevisionMissing"]),
        ("Revision", "door-outside-00001", ["Unable to fetch image", "example.invalid"]),
    ],
)
def test_a_reason_is_told_in_the_words_of_kubernetes(kind: str, name: str, words: list[str]) -> None:
    told = "\n".join(reasons([one(kind, name)]))
    assert f"{kind.lower()} {name}" in told
    for word in words:
        assert word in told


@pytest.mark.parametrize(("kind", "name"), [("Pod", "well"), ("Job", "good-job")])
def test_what_is_well_has_no_reason(kind: str, name: str) -> None:
    assert reasons([one(kind, name)]) == []


def test_waiting_helps_some_and_not_others() -> None:
    found = hopeless(RECORDED)
    assert found >= {"missing-image", "crashing", "no-secret", "failing-job", "door-outside"}
    assert not found & {"too-large", "not-ready", "well", "good-job"}


def test_a_bad_pod_that_is_being_replaced_is_not_waited_for() -> None:
    """The image was mended: the new pod is coming while the old one is still there."""
    old = one("Pod", "missing-image")
    new = json.loads(json.dumps(one("Pod", "well")))
    new["metadata"] |= {"creationTimestamp": "2999-01-01T00:00:00Z", "labels": old["metadata"]["labels"]}
    assert hopeless([new, old]) == set()


def test_the_end_of_a_log_is_read_where_something_has_ended_badly() -> None:
    pods = {pod for pod, _ in crashing(RECORDED)}
    assert "crashing" in pods
    assert any(pod.startswith("failing-job") for pod in pods)
    assert not pods & {"well", "missing-image", "too-large"}


def test_who_is_not_as_wished_is_named_and_who_is_missing_too() -> None:
    found = troubles(RECORDED, {"failing-job", "good-job", "door-outside", "relay"})
    assert found == {
        "relay": "does not exist",
        "failing-job": "failed",
        "door-outside": "not ready (RevisionMissing)",
    }


def test_a_door_that_was_restarted_once_is_not_given_up_by_us_although_knative_does() -> None:
    """knative/serving#15487. A revision that never was ready is another matter."""
    door = json.loads(json.dumps(one("Service", "door-outside")))
    door["status"]["latestReadyRevisionName"] = door["status"]["latestCreatedRevisionName"]
    assert troubles([door], {"door-outside"}) == {}
    assert hopeless([door]) == set()
    door["status"]["latestReadyRevisionName"] = "door-outside-00000"
    assert troubles([door], {"door-outside"})
    assert hopeless([door])


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
            "2 of 2 ready",
        ),
        (
            {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3},
            "2 of 2 ready",
        ),
        (
            {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
            "1 of 2 ready",
        ),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, ""),
    ],
    ids=["not seen yet", "an old pod is left", "half", "done"],
)
def test_a_deployment_is_done_when_only_new_pods_are_there(status: dict[str, int], why: str) -> None:
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "relay", "generation": 2},
        "spec": {"replicas": 2},
        "status": status,
    }
    assert troubles([deployment], {"relay"}) == ({"relay": why} if why else {})
