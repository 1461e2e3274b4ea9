"""Images that cannot change, and sizes that are sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from infra.compose.docker import images
from tests.k8s.manifests import KIND, PRODUCTION, Manifests, is_door, name_of
from tests.k8s.quantities import quantity
from tests.k8s.rules.containers import containers_of, first
from tests.k8s.rules.registry import fault, rule

DIGEST: Final = re.compile(r"[a-z0-9.:/_-]+@sha256:[0-9a-f]{64}")
LOCAL: Final = "dev.local/"
# Places whose value is a quantity. What an operator makes of a wrong one shows only when it tries.
SIZES: Final = frozenset(("cpu", "memory", "storage", "size", "sizeLimit", "ephemeral-storage"))


@rule
def quantities_are_quantities(manifests: Manifests) -> Iterator[str]:
    for thing in manifests.objects:
        for path, value in _sizes(thing):
            if quantity(value) is None:
                yield f"{name_of(thing)}: {path} is {value!r}"


def _sizes(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in SIZES and isinstance(inner, str | int | float):
                yield f"{path}.{key}"[1:], inner
            elif key != "annotations":
                yield from _sizes(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _sizes(inner, f"{path}[{index}]")


@rule
def images_cannot_change_under_us(manifests: Manifests) -> Iterator[str]:
    others = set(images().values())
    for pod, container, where in containers_of(manifests):
        image = str(container.get("image", ""))
        pinned = DIGEST.fullmatch(image) is not None
        tag = image.split("@", maxsplit=1)[0].rpartition("/")[2].partition(":")[2]
        if tag == "latest" or (not tag and not pinned):
            yield f"{where}: {image} is whatever was pushed last"
        if manifests.overlay == PRODUCTION and not pinned:
            yield f"{where}: {image} has no digest"
        if manifests.overlay == KIND and not pinned and not image.startswith(LOCAL):
            if is_door(pod.owner):
                yield f"{where}: Knative would look {image} up in a registry; {LOCAL} it leaves alone"
            elif image not in others:
                yield f"{where}: {image} is neither of {LOCAL} nor of infra/docker/images.env"
        if manifests.overlay == KIND and container.get("imagePullPolicy", "IfNotPresent") == "Always":
            yield f"{where}: {image} is loaded into the node, and would be pulled"


@fault(quantities_are_quantities, "a unit that does not exist", says="'5Zi'")
def _(manifests: Manifests) -> None:
    first(manifests)["resources"]["limits"]["memory"] = "5Zi"


@fault(quantities_are_quantities, "a database of no size", says="storage.size is '5Zi'", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    manifests.some("Cluster")["spec"]["storage"]["size"] = "5Zi"


@fault(images_cannot_change_under_us, "latest", says="pushed last")
def _(manifests: Manifests) -> None:
    first(manifests)["image"] = "dev.local/boxoffice:latest"


@fault(images_cannot_change_under_us, "no tag", says="pushed last")
def _(manifests: Manifests) -> None:
    first(manifests, "relay")["image"] = "dev.local/boxoffice"


@fault(images_cannot_change_under_us, "a tag in production", says="no digest", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    first(manifests)["image"] = "registry.cinema.example/boxoffice:1.0"


@fault(images_cannot_change_under_us, "an image to be looked up", says="would look", only=KIND)
def _(manifests: Manifests) -> None:
    first(manifests)["image"] = "boxoffice:local"


@fault(images_cannot_change_under_us, "an unpinned neighbour", says="neither of", only=KIND)
def _(manifests: Manifests) -> None:
    first(manifests, "redis")["image"] = "valkey:8"


@fault(images_cannot_change_under_us, "pulled all the same", says="would be pulled", only=KIND)
def _(manifests: Manifests) -> None:
    first(manifests)["imagePullPolicy"] = "Always"
