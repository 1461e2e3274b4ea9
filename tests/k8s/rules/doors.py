"""Doors as Knative Services: who may reach them, how they scale, what Knative reads of their templates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from infra.nginx.doors import service
from shared_lib.contract.routes import DOORS, WAYS
from tests.k8s.manifests import Manifests, at, name_of, pod_of
from tests.k8s.rules.registry import fault, rule

VISIBILITY: Final = "networking.knative.dev/visibility"
PRIVATE: Final = "cluster-local"
PUBLIC: Final = frozenset(service(way.door) for way in WAYS)
AWAKE: Final = ("create-order", "webhook")
SCALE: Final = "autoscaling.knative.dev/"
MIN_SCALE, MAX_SCALE = f"{SCALE}min-scale", f"{SCALE}max-scale"
DOOR_PORT: Final = 8080


@rule
def every_function_is_one_door(manifests: Manifests) -> Iterator[str]:
    wanted = {service(door): door for door in DOORS}
    for name in sorted(wanted.keys() - manifests.names("Door")):
        yield f"no Knative Service {name}"
    for door in manifests.doors:
        name = door["metadata"]["name"]
        variables = manifests.environment(at(door, "spec", "template", "spec", "containers", 0) or {})
        if wanted.get(name) != variables.get("FUNCTION"):
            yield f"{name_of(door)}: FUNCTION is {variables.get('FUNCTION')}, not {wanted.get(name)}"


@rule
def private_doors_are_cluster_local_and_public_ones_are_not(manifests: Manifests) -> Iterator[str]:
    for door in manifests.doors:
        name, labels = door["metadata"]["name"], door["metadata"].get("labels") or {}
        value = labels.get(VISIBILITY)
        if name in PUBLIC and value is not None:
            yield f"{name}: a public door has {VISIBILITY}: {value}"
        if name not in PUBLIC and value != PRIVATE:
            yield f"{name}: a private door has {VISIBILITY}: {value}, so that anyone may call it"
        for label in sorted(labels):
            if "knative.dev/" in label and label != VISIBILITY:
                yield f"{name}: {label} is no label that Knative reads here"
    for mapping in manifests.of("DomainMapping"):
        if at(mapping, "spec", "ref", "name") not in PUBLIC:
            yield f"{name_of(mapping)} gives a private door an address"


@rule
def doors_scale_between_known_bounds(manifests: Manifests) -> Iterator[str]:
    for door in manifests.doors:
        name, notes = door["metadata"]["name"], at(door, "spec", "template", "metadata", "annotations") or {}
        low, high = (str(notes.get(key, "")) for key in (MIN_SCALE, MAX_SCALE))
        if not (low.isdigit() and high.isdigit()):
            yield f"{name}: min-scale {low!r} and max-scale {high!r} are not both numbers"
            continue
        if int(high) < 1:
            yield f"{name}: max-scale 0 means without a limit"
        if int(low) > int(high):
            yield f"{name}: min-scale {low} is above max-scale {high}"
        if name in AWAKE and int(low) < 1:
            yield f"{name}: min-scale {low}, so that its first caller waits for a pod"


@rule
def doors_end_and_share_as_agreed(manifests: Manifests) -> Iterator[str]:
    for door in manifests.doors:
        name, spec = door["metadata"]["name"], at(door, "spec", "template", "spec") or {}
        # The pod's grace period is this one, and queue-proxy drains for 30 s of it.
        if spec.get("timeoutSeconds") != 60:
            yield f"{name}: timeoutSeconds is {spec.get('timeoutSeconds')}, not 60"
        if not 1 <= (spec.get("containerConcurrency") or 0) <= 20:
            yield f"{name}: containerConcurrency is {spec.get('containerConcurrency')}, not 1 to 20"
        if (containers := len(spec.get("containers") or [])) != 1:
            yield f"{name}: {containers} containers"


@rule
def doors_are_probed_as_knative_needs_it(manifests: Manifests) -> Iterator[str]:
    for door in manifests.doors:
        name, container = (
            door["metadata"]["name"],
            at(door, "spec", "template", "spec", "containers", 0) or {},
        )
        ports = [port.get("containerPort") for port in container.get("ports") or []]
        if ports != [DOOR_PORT]:
            yield f"{name}: ports {ports}, not {DOOR_PORT} alone"
        ready, live = container.get("readinessProbe") or {}, container.get("livenessProbe") or {}
        if at(ready, "httpGet", "path") != "/readyz":
            yield f"{name}: readiness does not ask /readyz"
        if ready.get("periodSeconds") != 0:
            yield f"{name}: readiness has periodSeconds {ready.get('periodSeconds')}: 0 lets Knative ask often at a start"
        if {"failureThreshold", "timeoutSeconds"} & ready.keys():
            yield f"{name}: failureThreshold and timeoutSeconds are refused where periodSeconds is 0"
        if at(live, "httpGet", "path") != "/livez":
            yield f"{name}: liveness does not ask /livez"
        for probe in (ready, live):
            if at(probe, "httpGet", "port") not in (None, 0, DOOR_PORT, at(container, "ports", 0, "name")):
                yield f"{name}: a probe asks port {at(probe, 'httpGet', 'port')}"


def door_parts(manifests: Manifests, name: str) -> dict[str, dict[str, str]]:
    door = manifests.one("Door", name)
    door["metadata"].setdefault("labels", {})
    pod = pod_of(door)
    assert pod is not None
    return {"labels": door["metadata"]["labels"], "notes": pod.metadata.setdefault("annotations", {})}


@fault(every_function_is_one_door, "a door is missing", says="no Knative Service renew")
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.one("Door", "renew"))


@fault(every_function_is_one_door, "a door runs another one's function", says="FUNCTION is refund")
def _(manifests: Manifests) -> None:
    container = manifests.one("Door", "renew")["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "FUNCTION", "value": "refund"}]


@fault(private_doors_are_cluster_local_and_public_ones_are_not, "another value", says="renew: a private")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "renew")["labels"][VISIBILITY] = "private"


@fault(private_doors_are_cluster_local_and_public_ones_are_not, "a typo in the key", says="visibilty")
def _(manifests: Manifests) -> None:
    labels = door_parts(manifests, "notify")["labels"]
    labels["networking.knative.dev/visibilty"] = labels.pop(VISIBILITY, PRIVATE)


@fault(private_doors_are_cluster_local_and_public_ones_are_not, "no label", says="playback: a private")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "playback")["labels"].pop(VISIBILITY, None)


@fault(
    private_doors_are_cluster_local_and_public_ones_are_not, "a public door hidden", says="account: a public"
)
def _(manifests: Manifests) -> None:
    door_parts(manifests, "account")["labels"][VISIBILITY] = PRIVATE


@fault(
    private_doors_are_cluster_local_and_public_ones_are_not, "an address for a private door", says="DomainMap"
)
def _(manifests: Manifests) -> None:
    manifests.objects.append(
        {
            "apiVersion": "serving.knative.dev/v1beta1",
            "kind": "DomainMapping",
            "metadata": {"name": "renew.cinema.example"},
            "spec": {"ref": {"kind": "Service", "name": "renew"}},
        }
    )


@fault(doors_scale_between_known_bounds, "no upper bound", says="without a limit")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "account")["notes"] |= {MIN_SCALE: "0", MAX_SCALE: "0"}


@fault(doors_scale_between_known_bounds, "bounds the wrong way round", says="is above")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "account")["notes"] |= {MIN_SCALE: "9", MAX_SCALE: "3"}


@fault(doors_scale_between_known_bounds, "create-order sleeps", says="first caller waits")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "create-order")["notes"][MIN_SCALE] = "0"


@fault(doors_scale_between_known_bounds, "a bound is missing", says="not both numbers")
def _(manifests: Manifests) -> None:
    door_parts(manifests, "refund")["notes"].pop(MAX_SCALE, None)


@fault(doors_end_and_share_as_agreed, "too short to drain", says="timeoutSeconds is 10")
def _(manifests: Manifests) -> None:
    manifests.one("Door", "webhook")["spec"]["template"]["spec"]["timeoutSeconds"] = 10


@fault(doors_end_and_share_as_agreed, "without a bound on calls", says="containerConcurrency is 0")
def _(manifests: Manifests) -> None:
    manifests.one("Door", "webhook")["spec"]["template"]["spec"]["containerConcurrency"] = 0


@fault(doors_end_and_share_as_agreed, "a sidecar", says="2 containers")
def _(manifests: Manifests) -> None:
    spec = manifests.one("Door", "webhook")["spec"]["template"]["spec"]
    spec["containers"].append({"name": "sidecar", "image": "dev.local/sidecar:1"})


def _probes(manifests: Manifests) -> dict[str, dict[str, object]]:
    container: dict[str, dict[str, object]]
    container = manifests.one("Door", "webhook")["spec"]["template"]["spec"]["containers"][0]
    return container


@fault(doors_are_probed_as_knative_needs_it, "readiness asks for liveness", says="does not ask /readyz")
def _(manifests: Manifests) -> None:
    _probes(manifests)["readinessProbe"]["httpGet"] = {"path": "/livez"}


@fault(doors_are_probed_as_knative_needs_it, "a period and a threshold", says="failureThreshold")
def _(manifests: Manifests) -> None:
    _probes(manifests)["readinessProbe"] |= {"periodSeconds": 0, "failureThreshold": 3}


@fault(doors_are_probed_as_knative_needs_it, "a slow period", says="periodSeconds 10")
def _(manifests: Manifests) -> None:
    _probes(manifests)["readinessProbe"]["periodSeconds"] = 10


@fault(doors_are_probed_as_knative_needs_it, "no liveness", says="does not ask /livez")
def _(manifests: Manifests) -> None:
    _probes(manifests).pop("livenessProbe")


@fault(doors_are_probed_as_knative_needs_it, "another port", says="ports [9000]")
def _(manifests: Manifests) -> None:
    manifests.one("Door", "webhook")["spec"]["template"]["spec"]["containers"][0]["ports"] = [
        {"containerPort": 9000}
    ]
