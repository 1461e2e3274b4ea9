"""The annotations of a revision's template that Knative reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.k8s.manifests import SERVING, Manifests, at
from tests.k8s.rules.doors import MAX_SCALE, MIN_SCALE, SCALE, door_parts
from tests.k8s.rules.registry import fault, rule

PROGRESS: Final = f"{SERVING}/progress-deadline"
_NUMBER: Final = re.compile(r"\d+")
_FRACTION: Final = re.compile(r"\d+(\.\d+)?")
_DURATION: Final = re.compile(r"(\d+(\.\d+)?(h|m|s|ms))+")
_QUANTITY: Final = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")


def _fits(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


def _one_of(*words: str) -> Callable[[str], bool]:
    return words.__contains__


# The annotations of a revision's template that Knative reads. It takes any other one without a word, and does nothing.
KNOWN: Final[Mapping[str, Callable[[str], bool]]] = {
    f"{SCALE}class": _one_of("kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"),
    MIN_SCALE: _fits(_NUMBER),
    MAX_SCALE: _fits(_NUMBER),
    f"{SCALE}initial-scale": _fits(_NUMBER),
    f"{SCALE}activation-scale": _fits(_NUMBER),
    f"{SCALE}scale-down-delay": _fits(_DURATION),
    f"{SCALE}scale-to-zero-pod-retention-period": _fits(_DURATION),
    f"{SCALE}window": _fits(_DURATION),
    f"{SCALE}metric": _one_of("concurrency", "rps", "cpu", "memory"),
    f"{SCALE}target": _fits(_FRACTION),
    f"{SCALE}target-utilization-percentage": _fits(_FRACTION),
    f"{SCALE}target-burst-capacity": _fits(re.compile(r"-1|\d+(\.\d+)?")),
    f"{SCALE}panic-window-percentage": _fits(_FRACTION),
    f"{SCALE}panic-threshold-percentage": _fits(_FRACTION),
    PROGRESS: _fits(_DURATION),
    "queue.sidecar.serving.knative.dev/cpu-resource-request": _fits(_QUANTITY),
    "queue.sidecar.serving.knative.dev/cpu-resource-limit": _fits(_QUANTITY),
    "queue.sidecar.serving.knative.dev/memory-resource-request": _fits(_QUANTITY),
    "queue.sidecar.serving.knative.dev/memory-resource-limit": _fits(_QUANTITY),
    "prometheus.io/scrape": _one_of("true", "false"),
    "prometheus.io/port": _fits(_NUMBER),
    "prometheus.io/path": _fits(re.compile(r"/[a-z]+")),
}


@rule
def template_annotations_are_knatives(manifests: Manifests) -> Iterator[str]:
    for door in manifests.doors:
        name, notes = door["metadata"]["name"], at(door, "spec", "template", "metadata", "annotations") or {}
        for key, value in sorted(notes.items()):
            if key not in KNOWN:
                yield f"{name}: {key} is no annotation of a template that is read"
            elif not KNOWN[key](str(value)):
                yield f"{name}: {key} cannot be {value!r}"
        if notes.get(PROGRESS) != "120s":
            yield f"{name}: {PROGRESS} is {notes.get(PROGRESS)}; a bad image would be reported after 10 minutes"
        for key in door["metadata"].get("annotations") or {}:
            if key.startswith(SCALE):
                yield f"{name}: {key} belongs on the template"


@fault(template_annotations_are_knatives, "camel case", says="minScale")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "refund")["notes"]["autoscaling.knative.dev/minScale"] = "1"


@fault(template_annotations_are_knatives, "a window in minutes without a unit", says="cannot be '5'")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "refund")["notes"]["autoscaling.knative.dev/window"] = "5"


@fault(template_annotations_are_knatives, "no deadline", says="reported after 10 minutes")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "refund")["notes"].pop(PROGRESS, None)


@fault(template_annotations_are_knatives, "scaling on the Service", says="belongs on the template")
def _(manifests: Manifests) -> None:
    manifests.one("Door", "refund")["metadata"]["annotations"] = {MAX_SCALE: "3"}
