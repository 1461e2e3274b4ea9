"""Why pods do not run, as text: derived from `kubectl get -o json`, without further calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from infra.kubernetes.commands import Object

# Waiting does not change these.
HOPELESS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
# Normal states during startup and at the end.
_PASSING: Final = frozenset({"ContainerCreating", "PodInitializing", "Completed"})


def reasons(items: Iterable[Object]) -> list[str]:
    """One line per problem: pods with their containers first, then jobs, then Knative's revisions and services."""
    order = {"Pod": 0, "Job": 1, "Revision": 2, "Service": 3}
    known = sorted((one for one in items if one["kind"] in order), key=lambda one: order[one["kind"]])
    lines = [line for one in known for line in _reasons(one)]
    return list(dict.fromkeys(lines))


def hopeless(items: Iterable[Object]) -> set[str]:
    """Names of objects that waiting does not help: a missing image, a crash loop, a failed job, a door that Knative gave up.

    Only the newest pod of each process counts: older ones are being replaced, perhaps for this reason.
    """
    newest: dict[str, Object] = {}
    for one in sorted(items, key=lambda one: str(one["metadata"].get("creationTimestamp", ""))):
        newest[f"{one['kind']}/{_process(one)}"] = one
    return {_name(one) for one in newest.values() if _is_hopeless(one)}


def crashing(items: Iterable[Object]) -> list[tuple[str, str]]:
    """Pod and container of everything that ended with an error: the end of its log explains why."""
    return [
        (_name(pod), status["name"])
        for pod in items
        if pod["kind"] == "Pod"
        for status in _statuses(pod)
        if _ended(status).get("exitCode")
    ]


def _reasons(one: Object) -> Iterator[str]:
    match one["kind"]:
        case "Pod":
            yield from _of_pod(one)
        case "Job":
            yield from (
                f"job {_name(one)}: {_text(condition)}"
                for condition in _conditions(one)
                if condition["type"] == "Failed" and condition["status"] == "True"
            )
        case _:  # Knative's Service and Revision
            if "knative" in one["apiVersion"]:
                yield from (
                    f"{one['kind'].lower()} {_name(one)} is not ready: {_text(condition)}"
                    for condition in _conditions(one)
                    if condition["type"] == "Ready" and condition["status"] != "True"
                )


def _of_pod(pod: Object) -> Iterator[str]:
    name, status = _name(pod), pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") == "Succeeded":
        return
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            yield f"pod {name}: {_text(condition)}"
    if status.get("reason"):  # Evicted, NodeLost
        yield f"pod {name}: {_text(status)}"
    for one in _statuses(pod):
        yield from (f"pod {name}, container {one['name']}: {reason}" for reason in _of_container(one))


def _of_container(status: Object) -> Iterator[str]:
    state, restarts = status.get("state", {}), status.get("restartCount", 0)
    ended = _ended(status)
    if ended.get("exitCode"):
        why = f"ended with {ended['exitCode']} ({ended.get('reason', 'Error')})"
        yield f"{why}, restarted {restarts} times" if restarts else why
    waiting = state.get("waiting", {})
    if waiting and waiting.get("reason") not in _PASSING:
        yield _text(waiting)
    if "running" in state and not status.get("ready") and not ended.get("exitCode"):
        yield "runs and is not ready"


def _is_hopeless(one: Object) -> bool:
    if one["kind"] == "Job":
        return any(c["type"] == "Failed" and c["status"] == "True" for c in _conditions(one))
    if one["kind"] == "Service":  # Knative's; its Ready condition is Unknown while it retries
        return is_given_up(one) and not serves(one)
    return one["kind"] == "Pod" and any(
        status.get("state", {}).get("waiting", {}).get("reason") in HOPELESS for status in _statuses(one)
    )


def serves(service: Object) -> bool:
    """Whether a Knative Service is reported as not ready although its last created revision was ready.

    Up to 1.15, one container restart marks a revision as failed permanently (knative/serving#15487), although it serves.
    """
    status = service.get("status", {})
    ready, created = status.get("latestReadyRevisionName"), status.get("latestCreatedRevisionName")
    return is_given_up(service) and bool(ready) and ready == created


def is_given_up(service: Object) -> bool:
    """Whether a Knative Service is not ready and no longer retries."""
    return any(c["type"] == "Ready" and c["status"] == "False" for c in _conditions(service))


def _ended(status: Object) -> Object:
    """How the container ended last; empty when it never did."""
    ended: Object = (
        status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    )
    return ended


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _conditions(one: Object) -> list[Object]:
    found: list[Object] = one.get("status", {}).get("conditions", [])
    return found


def _text(condition: Object) -> str:
    return ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))


def _process(one: Object) -> str:
    labels = one["metadata"].get("labels", {}) if one["kind"] == "Pod" else {}
    return str(labels.get("app.kubernetes.io/name", _name(one)))


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])
