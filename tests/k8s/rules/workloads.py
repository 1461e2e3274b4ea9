"""What selects pods, scales them, and lets them go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.k8s.manifests import NAMESPACE, Manifests, Object, Pod, at, name_of, selects
from tests.k8s.network import operators_pods
from tests.k8s.rules.registry import fault, rule

SCALABLE: Final = ("Deployment", "StatefulSet")


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
    labels = [
        *(pod.labels_in_cluster for pod in pods),
        *(place.labels for place in operators_pods(manifests)),
    ]
    for budget in manifests.of("PodDisruptionBudget"):
        if not any(selects(budget["spec"].get("selector"), one) for one in labels):
            yield f"{name_of(budget)} selects no pod"
    for pod in pods:
        for spread in pod.spec.get("topologySpreadConstraints") or []:
            if not selects(spread.get("labelSelector"), pod.labels):
                yield f"{pod.name}: a topologySpreadConstraint is not about its own pods"
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
def what_is_scaled_has_no_number_of_its_own(manifests: Manifests) -> Iterator[str]:
    scaled: dict[str, list[str]] = {}
    for one in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = one["spec"]
        low, high = (
            (spec.get("minReplicas", 1), spec.get("maxReplicas"))
            if one["kind"] == "HorizontalPodAutoscaler"
            else (spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100))
        )
        if not isinstance(high, int) or low > high or high < 2:
            yield f"{name_of(one)} scales between {low} and {high}"
        for target in manifests.of(*SCALABLE):
            if (
                target["metadata"]["name"] == at(spec, "scaleTargetRef", "name")
                and "replicas" in target["spec"]
            ):
                yield f"{name_of(target)}: each apply would undo what {name_of(one)} did"
        scaled.setdefault(at(spec, "scaleTargetRef", "name"), []).append(name_of(one))
    for name, scalers in scaled.items():
        if len(scalers) > 1:
            yield f"{name} is scaled by {' and '.join(scalers)}, which undo each other"


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


@fault(selectors_take_pods, "a Service without pods", says="Service gateway selects no pod")
def _(manifests: Manifests) -> None:
    manifests.one("Service", "gateway")["spec"]["selector"] = {"app": "nginx"}


@fault(selectors_take_pods, "a port without a listener", says="no port 9999")
def _(manifests: Manifests) -> None:
    manifests.one("Service", "gateway")["spec"]["ports"][0]["targetPort"] = 9999


@fault(selectors_take_pods, "a budget for nothing", says="PodDisruptionBudget relay selects no pod")
def _(manifests: Manifests) -> None:
    manifests.one("PodDisruptionBudget", "relay")["spec"]["selector"] = {"matchLabels": {"app": "relay"}}


@fault(selectors_take_pods, "spread as another's", says="not about its own pods")
def _(manifests: Manifests) -> None:
    spread = {"maxSkew": 1, "labelSelector": {"matchLabels": {"app": "relay"}}}
    manifests.pod("relay").spec["topologySpreadConstraints"] = [spread]


@fault(selectors_take_pods, "two Deployments, one selector", says="also selects")
def _(manifests: Manifests) -> None:
    part = {"matchLabels": {"app.kubernetes.io/part-of": "boxoffice"}}
    manifests.one("Deployment", "relay")["spec"]["selector"] = part


@fault(what_is_scaled_has_no_number_of_its_own, "two numbers", says="would undo")
def _(manifests: Manifests) -> None:
    manifests.one("Deployment", "relay")["spec"]["replicas"] = 2
    manifests.objects.append(scaler({"kind": "Deployment", "name": "relay"}))


@fault(what_is_scaled_has_no_number_of_its_own, "the wrong way round", says="between 5 and 4")
def _(manifests: Manifests) -> None:
    manifests.objects.append(scaler({"kind": "Deployment", "name": "relay"}, low=5))


def scaler(ref: dict[str, str], low: int = 2) -> Object:
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


@fault(what_is_scaled_has_no_number_of_its_own, "two scalers", says="which undo each other")
def _(manifests: Manifests) -> None:
    manifests.objects.extend(scaler({"kind": "Deployment", "name": "trigger"}) for _ in range(2))
