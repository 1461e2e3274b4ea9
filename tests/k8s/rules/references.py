"""Every name that an object mentions is the name of another one. The apiserver takes all of them as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.k8s.manifests import CLUSTER_SCOPED, NAMESPACE, Manifests, Object, Pod, at, kind_of, name_of
from tests.k8s.rules.registry import fault, rule
from tests.k8s.rules.workloads import scaler

HASHED: Final = re.compile(r"[a-z0-9.-]+-[a-z0-9]{10}")
# What `kubectl kustomize` makes hashes of: letters and digits that make no words.
STANDARD: Final = ("enforce", "warn")


def config_map_names(pod: Pod) -> Iterator[tuple[str, str | None]]:
    """The ConfigMaps of a pod, each with the key that is wanted of it."""
    for container in pod.containers:
        for source in container.get("envFrom") or []:
            if name := at(source, "configMapRef", "name"):
                yield name, None
        for one in container.get("env") or []:
            if key := at(one, "valueFrom", "configMapKeyRef"):
                yield key["name"], key["key"]
    mounted: dict[str, str] = {}
    for volume in pod.volumes:
        projected = [at(source, "configMap") for source in at(volume, "projected", "sources") or []]
        for source in filter(None, [volume.get("configMap"), *projected]):
            mounted[volume["name"]] = source["name"]
            yield source["name"], None
            yield from ((source["name"], item["key"]) for item in source.get("items") or [])
    for container in pod.containers:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in mounted and "subPath" in mount:
                yield mounted[mount["name"]], mount["subPath"]


@rule
def config_maps_are_hashed_and_used(manifests: Manifests) -> Iterator[str]:
    wanted = [(pod, name, key) for pod in manifests.pods for name, key in config_map_names(pod)]
    there = manifests.names("ConfigMap")
    for name in sorted(there):
        if not HASHED.fullmatch(name) or not any(letter.isdigit() for letter in name[-10:]):
            yield f"ConfigMap {name} has no hash in its name: a change starts no new pods"
        if name not in {used for _, used, _ in wanted}:
            yield f"ConfigMap {name} is not used"
    for pod, name, key in wanted:
        if name not in there:
            yield f"{pod.name}: there is no ConfigMap {name}"
        elif key is not None and key not in manifests.config(name):
            yield f"{pod.name}: ConfigMap {name} has no {key}"


@rule
def everything_is_in_one_namespace_that_is_restricted(manifests: Manifests) -> Iterator[str]:
    if manifests.names("Namespace") != {NAMESPACE}:
        yield f"namespaces {sorted(manifests.names('Namespace'))}, not {NAMESPACE}"
    for namespace in manifests.of("Namespace"):
        labels = namespace["metadata"].get("labels") or {}
        for mode in STANDARD:
            if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"{name_of(namespace)} does not {mode} by the restricted standard"
    for thing in manifests.objects:
        if thing.get("kind") not in CLUSTER_SCOPED and at(thing, "metadata", "namespace") != NAMESPACE:
            yield f"{name_of(thing)} is in namespace {at(thing, 'metadata', 'namespace')}"
        if kind_of(thing) == "Secret":
            yield f"{name_of(thing)}: secrets are not part of the manifests"


@rule
def references_lead_somewhere(manifests: Manifests) -> Iterator[str]:
    for thing in manifests.objects:
        for path in (
            ("spec", "sink", "ref"),
            ("spec", "delivery", "deadLetterSink", "ref"),
            ("spec", "subject"),
        ):
            if (ref := at(thing, *path)) and not _there(manifests, ref):
                yield f"{name_of(thing)}: there is no {ref.get('kind')} {ref.get('name')}"
        if (ref := at(thing, "spec", "scaleTargetRef")) and not _there(
            manifests, {"kind": "Deployment"} | ref
        ):
            yield f"{name_of(thing)} scales {ref.get('name')}, which does not exist"
        cluster = at(thing, "metadata", "labels", "strimzi.io/cluster")
        of_strimzi = str(thing.get("apiVersion")).startswith("kafka.strimzi.io/") and thing["kind"] != "Kafka"
        if of_strimzi and cluster not in manifests.names("Kafka"):
            yield f"{name_of(thing)} belongs to Kafka {cluster}, which does not exist"
        if thing["kind"] in ("Pooler", "ScheduledBackup", "Database") and (
            at(thing, "spec", "cluster", "name") not in manifests.names("Cluster")
        ):
            yield f"{name_of(thing)} belongs to a Cluster that does not exist"
    claims = manifests.names("PersistentVolumeClaim")
    for pod in manifests.pods:
        for volume in pod.volumes:
            claim = at(volume, "persistentVolumeClaim", "claimName")
            if claim is not None and claim not in claims:
                yield f"{pod.name}: there is no PersistentVolumeClaim {claim}"


def _there(manifests: Manifests, ref: Object) -> bool:
    kind = ref.get("kind")
    if kind == "Service" and str(ref.get("apiVersion", "")).startswith("serving."):
        kind = "Door"
    return at(ref, "name") in manifests.names(str(kind)) and ref.get("namespace", NAMESPACE) == NAMESPACE


@fault(config_maps_are_hashed_and_used, "a name without a hash", says="has no hash")
def _(manifests: Manifests) -> None:
    manifests.some("ConfigMap")["metadata"]["name"] = "settings"


@fault(
    config_maps_are_hashed_and_used, "a reference that kustomize did not see", says="no ConfigMap settings"
)
def _(manifests: Manifests) -> None:
    manifests.pod("webhook").containers[0]["envFrom"].append({"configMapRef": {"name": "settings"}})


@fault(config_maps_are_hashed_and_used, "a file that is not there", says="has no missing.conf")
def _(manifests: Manifests) -> None:
    container = manifests.pod("gateway").containers[0]
    next(mount for mount in container["volumeMounts"] if "subPath" in mount)["subPath"] = "missing.conf"


@fault(config_maps_are_hashed_and_used, "left over", says="leftover-0123456789 is not used")
def _(manifests: Manifests) -> None:
    manifests.objects.append({"kind": "ConfigMap", "metadata": {"name": "leftover-0123456789"}})


@fault(everything_is_in_one_namespace_that_is_restricted, "another namespace", says="namespace default")
def _(manifests: Manifests) -> None:
    manifests.some("Deployment")["metadata"]["namespace"] = "default"


@fault(everything_is_in_one_namespace_that_is_restricted, "a laxer standard", says="does not enforce")
def _(manifests: Manifests) -> None:
    manifests.some("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"


@fault(everything_is_in_one_namespace_that_is_restricted, "a secret in the manifests", says="Secret provider")
def _(manifests: Manifests) -> None:
    manifests.objects.append({"kind": "Secret", "metadata": {"name": "provider", "namespace": NAMESPACE}})


@fault(references_lead_somewhere, "a source without a door", says="no Service rennew")
def _(manifests: Manifests) -> None:
    ref = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "rennew"}
    source = {"kind": "PingSource", "metadata": {"name": "renewals"}, "spec": {"sink": {"ref": ref}}}
    manifests.objects.append(source)


@fault(references_lead_somewhere, "a pooler without a database", says="Pooler", only="production")
def _(manifests: Manifests) -> None:
    manifests.some("Pooler")["spec"]["cluster"]["name"] = "boxofice"


@fault(references_lead_somewhere, "a topic of no cluster", says="KafkaTopic", only="production")
def _(manifests: Manifests) -> None:
    manifests.some("KafkaTopic")["metadata"]["labels"]["strimzi.io/cluster"] = "kafka-2"


@fault(references_lead_somewhere, "a scaler of nothing", says="scales relays")
def _(manifests: Manifests) -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "relays"}
    manifests.objects.append(scaler(ref))


@fault(references_lead_somewhere, "a claim that is not there", says="PersistentVolumeClaim data")
def _(manifests: Manifests) -> None:
    manifests.pod("relay").spec.setdefault("volumes", []).append(
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    )
