"""The manifests of an overlay as `kubectl kustomize` renders them, and what rules ask of them."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # it ships no annotations

from tests.k8s.apiserver import kubectl_for_rendering

K8S: Final = Path(__file__).parents[2] / "k8s"
KIND: Final = "kind"
PRODUCTION: Final = "production"
OVERLAYS: Final = (KIND, PRODUCTION)
# An overlay, or one with a component: `production+keda` is what one has who adds that component to it.
COMPONENTS: Final[Mapping[str, Path]] = {
    f"{overlay}+{folder.name}": folder
    for overlay, parts in ((KIND, K8S / "overlays" / KIND / "ingresses"), (PRODUCTION, K8S / "components"))
    for folder in sorted(parts.glob("*"))
    if (folder / "kustomization.yaml").is_file()
}
VARIANTS: Final = (*OVERLAYS, *COMPONENTS)
NAMESPACE: Final = "boxoffice"
SERVING: Final = "serving.knative.dev"
PROCESS_LABEL: Final = "app.kubernetes.io/name"

Object = dict[str, Any]
# Where the pod template of each kind of workload is.
TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Door": ("spec", "template"),
    "Pod": (),
}
CLUSTER_SCOPED: Final = frozenset(
    (
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "PriorityClass",
        "StorageClass",
        "PersistentVolume",
        "CustomResourceDefinition",
    )
)


def at(value: Any, *path: str | int) -> Any:
    """What is at this path; None where a step is missing."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def name_of(thing: Object) -> str:
    """`Deployment relay`, for complaints."""
    return f"{thing.get('kind')} {at(thing, 'metadata', 'name')}"


def kind_of(thing: Object) -> str:
    """The kind; a Knative Service is a `Door`, to tell it from a core Service."""
    return "Door" if is_door(thing) else str(thing.get("kind"))


def is_door(thing: Object) -> bool:
    return thing.get("kind") == "Service" and str(thing.get("apiVersion")).startswith(f"{SERVING}/")


@dataclass(frozen=True)
class Pod:
    """A pod template, and what it belongs to."""

    owner: Object
    metadata: Object
    spec: Object

    @property
    def name(self) -> str:
        return name_of(self.owner)

    @property
    def door(self) -> bool:
        return is_door(self.owner)

    @property
    def process(self) -> str:
        """As in shared_lib/processes.py: the label's value with underscores."""
        return str(self.labels.get(PROCESS_LABEL, "")).replace("-", "_")

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.metadata.get("labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.metadata.get("annotations") or {})

    @property
    def labels_in_cluster(self) -> dict[str, str]:
        """Knative adds labels to the pods of its Services."""
        added = {f"{SERVING}/service": str(at(self.owner, "metadata", "name"))} if self.door else {}
        return self.labels | added

    @property
    def containers(self) -> list[Object]:
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]

    @property
    def volumes(self) -> list[Object]:
        return list(self.spec.get("volumes") or [])


@dataclass(frozen=True)
class Manifests:
    """Every object of a variant, in the order of the rendering."""

    variant: str
    objects: list[Object]

    @property
    def overlay(self) -> str:
        return self.variant.partition("+")[0]

    def planted(self) -> Manifests:
        """A copy to plant a fault in."""
        return Manifests(self.variant, copy.deepcopy(self.objects))

    def of(self, *kinds: str) -> list[Object]:
        """Those of these kinds; `Door` is a Knative Service, `Service` a core one."""
        return [thing for thing in self.objects if kind_of(thing) in kinds]

    def one(self, kind: str, name: str) -> Object:
        """The object. Raises LookupError."""
        found = [thing for thing in self.of(kind) if thing["metadata"]["name"] == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} of {kind} {name} in {self.variant}")
        return found[0]

    def some(self, kind: str) -> Object:
        """The first of a kind. Raises LookupError."""
        for thing in self.of(kind):
            return thing
        raise LookupError(f"no {kind} in {self.variant}")

    def names(self, *kinds: str) -> set[str]:
        return {thing["metadata"]["name"] for thing in self.of(*kinds)}

    @property
    def doors(self) -> list[Object]:
        return self.of("Door")

    @property
    def pods(self) -> list[Pod]:
        return [pod for thing in self.objects if (pod := pod_of(thing)) is not None]

    def pod(self, process: str) -> Pod:
        """The first pod of a process. Raises LookupError."""
        for pod in self.pods:
            if pod.process == process.replace("-", "_"):
                return pod
        raise LookupError(f"no pod of {process} in {self.variant}")

    def config(self, name: str) -> dict[str, str]:
        """What a ConfigMap holds; nothing when there is none of this name."""
        return next(
            (dict(one.get("data") or {}) for one in self.of("ConfigMap") if one["metadata"]["name"] == name),
            {},
        )

    def environment(self, container: Object) -> dict[str, str]:
        """The plain variables of a container: of its ConfigMaps, then its own. Secrets are not among them."""
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            if reference := at(source, "configMapRef", "name"):
                prefix = source.get("prefix", "")
                found |= {f"{prefix}{key}": value for key, value in self.config(reference).items()}
        for one in container.get("env") or []:
            key = at(one, "valueFrom", "configMapKeyRef")
            if key:
                found[one["name"]] = self.config(key["name"]).get(key["key"], "")
            elif "valueFrom" not in one:
                found[one["name"]] = str(one.get("value", ""))
        return {name: _expanded(value, found) for name, value in found.items()}


def pod_of(thing: Object) -> Pod | None:
    """The pod template of an object, if it is of a kind that has one."""
    path = TEMPLATES.get(kind_of(thing))
    if path is None:
        return None
    template = at(thing, *path) or {}
    return Pod(thing, template.get("metadata") or {}, template.get("spec") or {})


def texts(value: Any) -> Iterator[str]:
    """Every text in an object, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts(inner)


@cache
def rendered(variant: str) -> Manifests:
    """What `kubectl kustomize` makes of an overlay, or of one with a component. Raises ValueError with its message."""
    folder = K8S / "overlays" / variant.partition("+")[0]
    if variant not in COMPONENTS:
        return render(folder, variant)
    with tempfile.TemporaryDirectory() as outer:
        place = Path(outer).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(folder, place)],
            "components": [os.path.relpath(COMPONENTS[variant], place)],
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return render(place, variant)


def render(folder: Path, variant: str) -> Manifests:
    done = subprocess.run(
        [kubectl_for_rendering(), "kustomize", str(folder)],
        env={**os.environ, "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode or done.stderr.strip():  # it warns of deprecated fields there
        raise ValueError(f"kubectl kustomize {folder}: {done.stderr.strip()[-2000:]}")
    return Manifests(variant, [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one])


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels. An empty one takes all, None takes none."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _expression_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise ValueError(f"no operator of selectors: {other}")


def as_json(text: str) -> Any:
    """The value, or None when it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _expanded(value: str, variables: Mapping[str, str]) -> str:
    """$(NAME) as the kubelet expands it."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), value)
