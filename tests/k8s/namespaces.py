"""The rendered objects in a namespace of a test's own."""

from __future__ import annotations

from typing import Final

from tests.k8s.manifests import CLUSTER_SCOPED, Manifests

# Other objects of the namespace need these.
FIRST: Final = ("Namespace", "ServiceAccount")


def moved(manifests: Manifests, namespace: str) -> Manifests:
    """A copy with every object in this namespace, which takes the place of `boxoffice`."""
    copied = manifests.planted()
    for thing in copied.objects:
        if thing["kind"] == "Namespace":
            thing["metadata"]["name"] = namespace
            # Templates are only warned of, and a warning is a failure here.
            thing["metadata"]["labels"]["pod-security.kubernetes.io/warn"] = "restricted"
        elif thing["kind"] not in CLUSTER_SCOPED:
            thing["metadata"]["namespace"] = namespace
    return copied
