"""What comes in from outside and what goes out: the gateway, the ingress, the world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.k8s.manifests import PRODUCTION, Manifests, at, name_of
from tests.k8s.network import EGRESS, allowed, operators_pods, place_of
from tests.k8s.rules.policies import (
    ACTIVATOR,
    AUTOSCALER,
    CALLS,
    DNS,
    DOOR_PORT,
    FIGURES,
    METADATA,
    PRIVATE,
    STRANGER,
    WORLD,
    ingress_of,
    plant,
    policy_of,
)
from tests.k8s.rules.registry import fault, rule


@rule
def doors_are_called_by_knative_alone(manifests: Manifests) -> Iterator[str]:
    ingress = ingress_of(manifests)
    for pod in manifests.pods:
        if not pod.door:
            continue
        door = place_of(pod)
        open_to = ((ACTIVATOR, (*CALLS, FIGURES)), (AUTOSCALER, (*CALLS, FIGURES)), (ingress, CALLS))
        for caller, ports in open_to:
            for port in (*CALLS, FIGURES, DOOR_PORT):
                if allowed(manifests, caller, door, port) != (port in ports):
                    yield f"{caller.name} {'cannot' if port in ports else 'may'} reach {door.name}:{port}"
        for stranger in (STRANGER, WORLD, DNS):
            for port in (*CALLS, FIGURES, DOOR_PORT):
                if allowed(manifests, stranger, door, port):
                    yield f"{stranger.name} may reach {door.name}:{port}"


@rule
def the_world_is_reached_by_those_who_must(manifests: Manifests) -> Iterator[str]:
    """On kind nothing of it is needed: provider, Auth and mail are pods. In production all doors read Auth's keys there."""
    for pod in manifests.pods:
        source = place_of(pod)
        needed = manifests.overlay == PRODUCTION and pod.door
        if allowed(manifests, source, WORLD, 443) != needed:
            yield f"{source.name} {'cannot' if needed else 'may'} reach the world"
        for target, port in (
            (WORLD, 80),
            (WORLD, 25),
            (PRIVATE, 443),
            (PRIVATE, 10250),
            (METADATA, 80),
            (METADATA, 443),
        ):
            if allowed(manifests, source, target, port):
                yield f"{source.name} may reach {target.name}:{port}"


@rule
def the_world_comes_in_through_the_gateway(manifests: Manifests) -> Iterator[str]:
    places = [place_of(pod) for pod in manifests.pods if not pod.door] + operators_pods(manifests)
    for place in places:
        for caller in (WORLD, STRANGER):
            for port in sorted({*place.ports.values(), 5432, 6379, 9092, 8080}):
                needed = place.name == "gateway" and port == DOOR_PORT
                if allowed(manifests, caller, place, port) != needed:
                    yield f"{caller.name} {'cannot' if needed else 'may'} reach {place.name}:{port}"
    for service in manifests.of("Service"):
        outside = at(service, "spec", "type") in ("NodePort", "LoadBalancer") or at(
            service, "spec", "externalIPs"
        )
        if outside and service["metadata"]["name"] != "gateway":
            yield f"{name_of(service)} is open to the world"
    for route in manifests.of("Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute"):
        names = {name for name in _names(route.get("spec")) if name in manifests.names("Service", "Door")}
        for name in sorted(names - {"gateway"}):
            yield f"{name_of(route)} leads to {name} past the gateway"


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


@fault(doors_are_called_by_knative_alone, "the door's own port", says="activator may reach account:8080")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "doors-from-knative")["ingress"][0]["ports"].append({"port": 8080})


@fault(doors_are_called_by_knative_alone, "no figures", says="autoscaler cannot reach account:9090")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "doors-from-knative")["ingress"][0]["ports"] = [{"port": 8012}, {"port": 8112}]


@fault(doors_are_called_by_knative_alone, "from every namespace", says="another namespace's pod may reach")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "doors-from-knative")["ingress"][0]["from"] = [{"namespaceSelector": {}}]


@fault(the_world_is_reached_by_those_who_must, "a relay that reaches it", says="relay may reach the world")
def _(manifests: Manifests) -> None:
    selector = {"matchLabels": {"app.kubernetes.io/name": "relay"}}
    out = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
    plant(manifests, podSelector=selector, policyTypes=[EGRESS], egress=[out])


@fault(
    the_world_is_reached_by_those_who_must, "private networks", says="the cloud's metadata", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    del policy_of(manifests, "doors-to-outside")["egress"][0]["to"][0]["ipBlock"]["except"]


@fault(the_world_is_reached_by_those_who_must, "a door shut in", says="webhook cannot reach", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    policy_of(manifests, "doors-to-outside")["egress"][0]["ports"] = [{"port": 8443}]


@fault(the_world_comes_in_through_the_gateway, "a store that is open", says="Service planted is open")
def _(manifests: Manifests) -> None:
    manifests.objects.append(
        {"kind": "Service", "metadata": {"name": "planted"}, "spec": {"type": "NodePort"}}
    )


@fault(the_world_comes_in_through_the_gateway, "a gateway that is shut", says="cannot reach gateway")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "gateway-from-outside")["ingress"] = [{"from": [{"podSelector": {}}]}]


@fault(the_world_comes_in_through_the_gateway, "past the gateway", says="leads to account past")
def _(manifests: Manifests) -> None:
    rules = [{"http": {"paths": [{"backend": {"service": {"name": "account", "port": {"number": 80}}}}]}}]
    manifests.objects.append({"kind": "Ingress", "metadata": {"name": "planted"}, "spec": {"rules": rules}})
