"""Every name that an object mentions is the name of another one. The apiserver takes all of them as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.k8s.manifests import (
    CLUSTER_SCOPED,
    NAMESPACE,
    Manifests,
    Object,
    Pod,
    at,
    kind_of,
    name_of,
    selects,
)
from tests.k8s.rules.registry import fault, rule

HASHED: Final = re.compile(r"[a-z0-9.-]+-[a-z0-9]{10}")
# What `kubectl kustomize` makes hashes of: letters and digits that make no words.
STANDARD: Final = ("enforce", "warn")
SCALABLE: Final = ("Deployment", "StatefulSet")


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
def selectors_take_pods(manifests: Manifests) -> Iterator[str]:
    pods = manifests.pods
    for service in manifests.of("Service"):
        selector = at(service, "spec", "selector")
        if selector is None:
            continue
        taken = [pod for pod in pods if selects({"matchLabels": selector}, pod.labels_in_cluster)]
        if not taken:
            yield f"{name_of(service)} selects no pod"
        for port in service["spec"].get("ports") or []:
            target = port.get("targetPort", port["port"])
            if taken and not all(_listens(pod, target) for pod in taken):
                yield f"{name_of(service)}: no port {target} in its pods"
    for budget in manifests.of("PodDisruptionBudget"):
        if not any(selects(budget["spec"].get("selector"), pod.labels_in_cluster) for pod in pods):
            yield f"{name_of(budget)} selects no pod"
    for owner in manifests.of("Deployment", "StatefulSet", "DaemonSet"):
        own = [pod for pod in pods if pod.owner is owner]
        if not all(selects(at(owner, "spec", "selector"), pod.labels) for pod in own):
            yield f"{name_of(owner)} does not select its own pods"
        for pod in pods:
            if pod.owner is not owner and selects(at(owner, "spec", "selector"), pod.labels):
                yield f"{name_of(owner)} also selects the pods of {pod.name}"


def _listens(pod: Pod, target: Any) -> bool:
    ports = [port for container in pod.containers for port in container.get("ports") or []]
    return any(target in (port.get("containerPort"), port.get("name")) for port in ports)


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


@rule
def what_is_scaled_has_no_number_of_its_own(manifests: Manifests) -> Iterator[str]:
    for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        low, high = (
            (spec.get("minReplicas", 1), spec.get("maxReplicas"))
            if scaler["kind"] == "HorizontalPodAutoscaler"
            else (spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100))
        )
        if not isinstance(high, int) or low > high or high < 2:
            yield f"{name_of(scaler)} scales between {low} and {high}"
        for target in manifests.of(*SCALABLE):
            if (
                target["metadata"]["name"] == at(spec, "scaleTargetRef", "name")
                and "replicas" in target["spec"]
            ):
                yield f"{name_of(target)}: each apply would undo what {name_of(scaler)} did"


@rule
def a_node_can_be_drained(manifests: Manifests) -> Iterator[str]:
    for budget in manifests.of("PodDisruptionBudget"):
        spec = budget["spec"]
        for owner in manifests.of(*SCALABLE):
            pod = next((pod for pod in manifests.pods if pod.owner is owner), None)
            if pod is None or not selects(spec.get("selector"), pod.labels):
                continue
            replicas = owner["spec"].get("replicas", 1)
            if spec.get("maxUnavailable") in (0, "0%"):
                yield f"{name_of(budget)} lets no pod go"
            if isinstance(spec.get("minAvailable"), int) and spec["minAvailable"] >= replicas:
                yield f"{name_of(budget)} keeps {spec['minAvailable']} of {replicas}: no pod may go"
            if spec.get("minAvailable") == "100%":
                yield f"{name_of(budget)} lets no pod go"
    for worker in ("relay", "trigger"):
        pods = [pod for pod in manifests.pods if pod.process == worker]
        if pods and not any(
            selects(budget["spec"].get("selector"), pods[0].labels)
            for budget in manifests.of("PodDisruptionBudget")
        ):
            yield f"{worker} has no PodDisruptionBudget"


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


@fault(selectors_take_pods, "a Service without pods", says="Service gateway selects no pod")
def _(manifests: Manifests) -> None:
    manifests.one("Service", "gateway")["spec"]["selector"] = {"app": "nginx"}


@fault(selectors_take_pods, "a port without a listener", says="no port 9999")
def _(manifests: Manifests) -> None:
    manifests.one("Service", "gateway")["spec"]["ports"][0]["targetPort"] = 9999


@fault(selectors_take_pods, "a budget for nothing", says="PodDisruptionBudget relay selects no pod")
def _(manifests: Manifests) -> None:
    manifests.one("PodDisruptionBudget", "relay")["spec"]["selector"] = {"matchLabels": {"app": "relay"}}


@fault(selectors_take_pods, "two Deployments, one selector", says="also selects")
def _(manifests: Manifests) -> None:
    part = {"matchLabels": {"app.kubernetes.io/part-of": "boxoffice"}}
    manifests.one("Deployment", "relay")["spec"]["selector"] = part


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
    manifests.objects.append(_scaler(ref))


@fault(references_lead_somewhere, "a claim that is not there", says="PersistentVolumeClaim data")
def _(manifests: Manifests) -> None:
    manifests.pod("relay").spec.setdefault("volumes", []).append(
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    )


@fault(what_is_scaled_has_no_number_of_its_own, "two numbers", says="would undo")
def _(manifests: Manifests) -> None:
    manifests.one("Deployment", "relay")["spec"]["replicas"] = 2
    manifests.objects.append(_scaler({"kind": "Deployment", "name": "relay"}))


@fault(what_is_scaled_has_no_number_of_its_own, "the wrong way round", says="between 5 and 4")
def _(manifests: Manifests) -> None:
    manifests.objects.append(_scaler({"kind": "Deployment", "name": "relay"}, low=5))


def _scaler(ref: dict[str, str], low: int = 2) -> Object:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "planted", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": ref, "minReplicas": low, "maxReplicas": 4},
    }


@fault(a_node_can_be_drained, "no pod may go", says="no pod may go")
def _(manifests: Manifests) -> None:
    manifests.one("PodDisruptionBudget", "relay")["spec"] = {
        "minAvailable": 9,
        "selector": {"matchLabels": manifests.pod("relay").labels},
    }


@fault(a_node_can_be_drained, "no budget", says="trigger has no PodDisruptionBudget")
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.one("PodDisruptionBudget", "trigger"))
