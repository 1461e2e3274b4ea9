"""The manifests of the kind overlay for this cluster: with the tags of the built images and the address for customers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from infra.kubernetes.cluster import address
from infra.kubernetes.commands import FOLDER, ROOT, Object, kubectl, parsed
from infra.kubernetes.knative import KOURIER_CLASS, ingress_class

OVERLAY: Final = ROOT / "k8s" / "overlays" / "kind"
# The pods that may call doors depend on the ingress; each ingress other than Kourier has a component.
INGRESSES: Final = OVERLAY / "ingresses"
# The jobs, in the order in which they must run.
JOBS: Final = ("roles", "migrate", "topics", "catalog")
_GROUND: Final = frozenset({"store", "neighbour"})


def rendered(tags: dict[str, str]) -> list[Object]:
    """Every object of the overlay except the Secrets."""
    folder = FOLDER / "overlay"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "kustomization.yaml").write_text(json.dumps(_kustomization(folder, tags), indent=2) + "\n")
    return parsed(kubectl("kustomize", str(folder)))


def _kustomization(folder: Path, tags: dict[str, str]) -> dict[str, Any]:
    """A kustomization over the overlay, as JSON, which is YAML too."""
    own: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(OVERLAY, folder)],
        "images": [{"name": name, "newTag": tag} for name, tag in tags.items()],
    }
    component = INGRESSES / ingress_class().partition(".")[0]
    if ingress_class() != KOURIER_CLASS and component.exists():
        own["components"] = [os.path.relpath(component, folder)]
    if os.environ.get("BOXOFFICE_PORT"):
        here = [f"BOXOFFICE_{name}={address()}" for name in ("PUBLIC_URL", "RETURN_URL_ORIGINS")]
        here.append(f"BOXOFFICE_CINEMA_ACCOUNT_URL={address()}/account")
        own["namespace"] = "boxoffice"
        own["configMapGenerator"] = [{"name": "settings", "behavior": "merge", "literals": here}]
    # For a node that is not a container: the data folder to use instead of /var/local.
    if kept := os.environ.get("K8S_NODE_FOLDER"):
        there = [{"op": "replace", "path": "/spec/local/path", "value": kept}]
        own["patches"] = [{"target": {"kind": "PersistentVolume"}, "patch": json.dumps(there)}]
    return own


def in_order(items: list[Object]) -> tuple[list[Object], list[Object], list[Object]]:
    """Stores and neighbours first; then the jobs, one after another; then doors, workers and gateway."""
    jobs = [one for name in JOBS for one in items if one["kind"] == "Job" and one["metadata"]["name"] == name]
    jobs += [one for one in items if one["kind"] == "Job" and one not in jobs]
    later = [one for one in items if one not in jobs and _runs(one) and _component(one) not in _GROUND]
    first = [one for one in items if one not in jobs and one not in later]
    return first, jobs, later


def _runs(one: Object) -> bool:
    """It has pods."""
    return "template" in one.get("spec", {})


def _component(one: Object) -> str:
    labels = one["spec"]["template"]["metadata"].get("labels", {})
    return str(labels.get("app.kubernetes.io/component", ""))
