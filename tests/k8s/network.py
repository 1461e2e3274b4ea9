"""What NetworkPolicies allow, as a network that enforces them does: between pods, and to addresses outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from tests.k8s.manifests import NAMESPACE, Manifests, Object, Pod, at, selects

Peer = Mapping[str, Any]
INGRESS: Final = "Ingress"
EGRESS: Final = "Egress"


@dataclass(frozen=True)
class Place:
    """A pod, or an address outside the cluster. `ports`: what listens there, by name."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    address: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.namespace == NAMESPACE and not self.address


def place_of(pod: Pod) -> Place:
    ports = {
        str(port.get("name", port["containerPort"])): int(port["containerPort"])
        for container in pod.containers
        for port in container.get("ports") or []
    }
    return Place(pod.process.replace("_", "-"), pod.labels_in_cluster, ports=ports)


def allowed(manifests: Manifests, source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection is let out at its source and let in at its target."""
    policies = manifests.of("NetworkPolicy")
    call = Call(target, port, protocol)
    return _open(policies, EGRESS, source, target, call) and _open(policies, INGRESS, target, source, call)


@dataclass(frozen=True)
class Call:
    """What is called. Names of ports are the target's."""

    target: Place
    port: int
    protocol: str


def _open(policies: Sequence[Object], direction: str, own: Place, other: Place, call: Call) -> bool:
    if not own.ours:
        return True  # what other namespaces and the world allow is theirs
    holding = [policy["spec"] for policy in policies if holds(policy, own, direction)]
    peers = "to" if direction == EGRESS else "from"
    return not holding or any(
        _rule_allows(one.get(peers), one.get("ports"), other, call)
        for spec in holding
        for one in spec.get(direction.lower()) or []
    )


def holds(policy: Object, place: Place, direction: str) -> bool:
    """Whether a policy is about this direction of this pod."""
    spec = policy["spec"]
    kinds = spec.get("policyTypes") or [INGRESS, *([EGRESS] if "egress" in spec else [])]
    return place.ours and direction in kinds and selects(spec.get("podSelector") or {}, place.labels)


def _rule_allows(
    peers: Sequence[Peer] | None, ports: Sequence[Object] | None, other: Place, call: Call
) -> bool:
    return (not peers or any(is_peer(peer, other) for peer in peers)) and (
        not ports or any(_port_fits(one, call) for one in ports)
    )


def _port_fits(one: Object, call: Call) -> bool:
    if one.get("protocol", "TCP") != call.protocol:
        return False
    wanted = one.get("port")
    if wanted is None:
        return True
    first = call.target.ports.get(wanted) if isinstance(wanted, str) else int(wanted)
    return first is not None and first <= call.port <= int(one.get("endPort", first))


def is_peer(peer: Peer, other: Place) -> bool:
    """Whether one entry of `from` or `to` is about this place."""
    if block := peer.get("ipBlock"):
        return bool(other.address) and _inside(other.address, block)
    if other.address:
        return False
    namespaces = peer.get("namespaceSelector")
    near = (
        other.namespace == NAMESPACE
        if namespaces is None
        else selects(namespaces, {"kubernetes.io/metadata.name": other.namespace})
    )
    return near and selects(peer.get("podSelector") or {}, other.labels)


def _inside(address: str, block: Mapping[str, Any]) -> bool:
    there = ip_address(address)
    return there in ip_network(block["cidr"]) and not any(
        there in ip_network(hole) for hole in block.get("except") or []
    )


def operators_pods(manifests: Manifests) -> list[Place]:
    """The pods in our namespace that CloudNativePG and Strimzi make of their objects, with the labels these give them."""
    found = []
    for cluster in manifests.names("Cluster"):
        labels = {
            "cnpg.io/cluster": cluster,
            "cnpg.io/podRole": "instance",
            "cnpg.io/instanceRole": "primary",
        }
        found.append(
            Place("postgres", labels | {"cnpg.io/instanceName": f"{cluster}-1"}, ports={"postgresql": 5432})
        )
    for pooler in manifests.of("Pooler"):
        labels = {
            "cnpg.io/poolerName": pooler["metadata"]["name"],
            "cnpg.io/cluster": str(at(pooler, "spec", "cluster", "name")),
            "cnpg.io/podRole": "pooler",
        }
        found.append(Place("pooler", labels, ports={"pgbouncer": 5432}))
    for kafka in manifests.names("Kafka"):
        labels = {
            "strimzi.io/cluster": kafka,
            "app.kubernetes.io/instance": kafka,
            "strimzi.io/kind": "Kafka",
        }
        broker = {"strimzi.io/name": f"{kafka}-kafka", "app.kubernetes.io/name": "kafka"}
        operator = {
            "strimzi.io/name": f"{kafka}-entity-operator",
            "app.kubernetes.io/name": "entity-operator",
        }
        found.append(Place("kafka", labels | broker))
        found.append(Place("entity-operator", labels | operator))
    return found
