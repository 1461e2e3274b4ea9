"""Who reaches whom: exactly what the table here says, between all pods there are, whatever the policies look like.

A network that enforces policies sees packets behind a Service, so ports are those of pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from shared_lib.processes import PROCESSES, Secret
from tests.k8s.manifests import KIND, PRODUCTION, Manifests, Pod, name_of
from tests.k8s.network import EGRESS, INGRESS, Place, allowed, holds, is_peer, operators_pods, place_of
from tests.k8s.rules.registry import fault, rule

DNS: Final = Place("cluster DNS", {"k8s-app": "kube-dns"}, "kube-system")
ACTIVATOR: Final = Place("activator", {"app": "activator"}, "knative-serving")
AUTOSCALER: Final = Place("autoscaler", {"app": "autoscaler"}, "knative-serving")
KOURIER: Final = Place("ingress", {"app": "3scale-kourier-gateway"}, "kourier-system")
BOX: Final = Place("ingress", {"app": "box-ingress"}, "kube-system")
STRANGER: Final = Place("another namespace's pod", {"app": "stranger"}, "default")
WORLD: Final = Place("a public address", address="203.0.113.7")
PRIVATE: Final = Place("an address of the node's network", address="10.1.2.3")
METADATA: Final = Place("the cloud's metadata", address="169.254.169.254")
# queue-proxy's: calls, calls over HTTP/2, figures for the autoscaler. A door's own port passes by the limit of calls.
CALLS: Final = (8012, 8112)
FIGURES: Final = 9090
DOOR_PORT: Final = 8080
INGRESS_PORTS: Final = (8080, 8081)
# Beside shared_lib/processes.py: what else connects to the database, and what calls doors by their names.
ADMINISTRATORS: Final = frozenset(("roles", "catalog"))
CALLERS: Final = frozenset(("gateway", "trigger", "clock"))
# People's pods, which infra/kubernetes makes while they are there; their policies are beside those of the rest.
VISITOR: Final = {"app.kubernetes.io/component": "visitor"}


def ingress_of(manifests: Manifests) -> Place:
    return BOX if manifests.variant == f"{KIND}+box" else KOURIER


def _needs(pod: Pod, secret: Secret) -> bool:
    return pod.process in PROCESSES and secret in PROCESSES[pod.process].secrets


def _needs_database(pod: Pod) -> bool:
    return pod.process in ADMINISTRATORS or (
        pod.process in PROCESSES and PROCESSES[pod.process].role is not None
    )


def wanted_of(manifests: Manifests, pod: Pod) -> set[tuple[str, int]]:
    """Name and port of each place in our namespace that this pod needs."""
    pooled = pod.door and bool(manifests.of("Pooler"))
    wanted = {("pooler" if pooled else "postgres", 5432)} if _needs_database(pod) else set()
    if _needs(pod, Secret.REDIS):
        wanted.add(("redis", 6379))
    if _needs(pod, Secret.KAFKA):
        wanted.add(("kafka", 9092))
    if manifests.overlay == KIND:
        if _needs(pod, Secret.PROVIDER_KEY) or pod.process == "gateway":  # the sandbox's checkout page
            wanted.add(("sandbox", DOOR_PORT))
        if pod.door:
            wanted.add(("auth", DOOR_PORT))
        if _needs(pod, Secret.MAIL):
            wanted.add(("mail", 5000))
        if pod.process == "sandbox":  # its webhooks
            wanted.add(("gateway", DOOR_PORT))
    return wanted


@rule
def pods_reach_what_they_need_and_nothing_else(manifests: Manifests) -> Iterator[str]:
    places = [
        *{place_of(pod).name: place_of(pod) for pod in manifests.pods}.values(),
        *operators_pods(manifests),
    ]
    for pod in manifests.pods:
        source, wanted = place_of(pod), wanted_of(manifests, pod)
        for target in places:
            for port in sorted({*target.ports.values(), 5432, 6379, 8000, 9092, *CALLS, FIGURES, DOOR_PORT}):
                needed = (target.name, port) in wanted
                if allowed(manifests, source, target, port) != needed:
                    yield f"{source.name} {'cannot reach' if needed else 'may reach'} {target.name}:{port}"


@rule
def only_callers_reach_the_ingress_and_all_reach_dns(manifests: Manifests) -> Iterator[str]:
    ingress = ingress_of(manifests)
    for pod in manifests.pods:
        source, calls = place_of(pod), pod.process in CALLERS
        for port in INGRESS_PORTS:
            if allowed(manifests, source, ingress, port) != calls:
                yield f"{source.name} {'cannot' if calls else 'may'} call doors through the ingress, port {port}"
        if not all(allowed(manifests, source, DNS, 53, protocol) for protocol in ("UDP", "TCP")):
            yield f"{source.name} cannot ask cluster DNS"
        for stranger, port in ((DNS, 443), (STRANGER, 8080), (ACTIVATOR, 8012)):
            if allowed(manifests, source, stranger, port):
                yield f"{source.name} may reach {stranger.name}:{port}"


@rule
def nothing_is_allowed_unless_it_is_said(manifests: Manifests) -> Iterator[str]:
    """Default deny, and beside it a policy for each pod that must let in or out."""
    policies = manifests.of("NetworkPolicy")
    denies = [
        policy
        for policy in policies
        if not any(policy["spec"].get(field) for field in ("podSelector", "ingress", "egress"))
        and set(policy["spec"].get("policyTypes") or []) == {INGRESS, EGRESS}
    ]
    if not denies:
        yield "no policy denies everything to every pod"
    others = [policy for policy in policies if policy not in denies]
    for pod in manifests.pods:
        place = place_of(pod)
        if not any(holds(policy, place, EGRESS) for policy in others):
            yield f"{pod.name} has no policy for what it reaches"
        if (place.ports or pod.door) and not any(holds(policy, place, INGRESS) for policy in others):
            yield f"{pod.name} listens, and has no policy for who reaches it"


@rule
def policies_are_about_something(manifests: Manifests) -> Iterator[str]:
    ours = [*(place_of(pod) for pod in manifests.pods), *operators_pods(manifests), Place("visitor", VISITOR)]
    known = [*ours, DNS, ACTIVATOR, AUTOSCALER, ingress_of(manifests), *_operators()]
    for policy in manifests.of("NetworkPolicy"):
        if not any(holds(policy, place, way) for place in ours for way in (INGRESS, EGRESS)):
            yield f"{name_of(policy)} selects no pod"
        for peer in _peers(policy):
            if "ipBlock" not in peer and not any(is_peer(peer, place) for place in known):
                yield f"{name_of(policy)} names a peer that does not exist: {peer}"


def _peers(policy: Any) -> Iterable[Any]:
    for way, side in ((INGRESS, "from"), (EGRESS, "to")):
        for one in policy["spec"].get(way.lower()) or []:
            yield from one.get(side) or []


def _operators() -> list[Place]:
    return [
        Place("CloudNativePG", {"app.kubernetes.io/name": "cloudnative-pg"}, "cnpg-system"),
        Place("Strimzi", {"name": "strimzi-cluster-operator"}, "strimzi"),
        Place("KEDA", {"app": "keda-operator"}, "keda"),
        Place("Eventing", {"app": "kafka-source-dispatcher"}, "knative-eventing"),
    ]


@rule
def stores_of_operators_reach_what_keeps_them(manifests: Manifests) -> Iterator[str]:
    """They live under default deny too: to each other, to their operator, and to the apiserver."""
    apiserver = Place("the apiserver", address="10.96.0.1")
    places = {place.name: place for place in operators_pods(manifests)}
    wanted = []
    if postgres := places.get("postgres"):
        wanted += [(postgres, postgres, 5432), (postgres, apiserver, 6443), (_operators()[0], postgres, 8000)]
        if pooler := places.get("pooler"):
            wanted.append((pooler, postgres, 5432))
    if kafka := places.get("kafka"):
        # Strimzi writes what may come in itself, so only what goes out is ours.
        wanted += [(kafka, apiserver, 6443), (places["entity-operator"], apiserver, 6443)]
    for source, target, port in wanted:
        if not allowed(manifests, source, target, port):
            yield f"{source.name} cannot reach {target.name}:{port}"


def policy_of(manifests: Manifests, name: str) -> Any:
    return manifests.one("NetworkPolicy", name)["spec"]


def plant(manifests: Manifests, **spec: Any) -> None:
    manifests.objects.append({"kind": "NetworkPolicy", "metadata": {"name": "planted"}, "spec": spec})


@fault(
    pods_reach_what_they_need_and_nothing_else,
    "everything to everything",
    says="account may reach redis:6379",
    only=KIND,
)
def _(manifests: Manifests) -> None:
    plant(manifests, podSelector={}, policyTypes=[INGRESS, EGRESS], ingress=[{}], egress=[{}])


@fault(pods_reach_what_they_need_and_nothing_else, "a label is missing", says="create-order cannot reach")
def _(manifests: Manifests) -> None:
    manifests.pod("create-order").metadata["labels"] = {"app.kubernetes.io/name": "create-order"}


@fault(
    pods_reach_what_they_need_and_nothing_else,
    "a label too many",
    says="notify may reach sandbox:8080",
    only=KIND,
)
def _(manifests: Manifests) -> None:
    manifests.pod("notify").metadata["labels"]["boxoffice/reaches-provider"] = "true"


@fault(
    pods_reach_what_they_need_and_nothing_else,
    "around the pooler",
    says="account may reach postgres",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    everything = {"matchLabels": {"app.kubernetes.io/component": "door"}}
    plant(manifests, podSelector=everything, policyTypes=[EGRESS], egress=[{"ports": [{"port": 5432}]}])
    plant(manifests, podSelector={}, policyTypes=[INGRESS], ingress=[{"from": [{"podSelector": everything}]}])


@fault(only_callers_reach_the_ingress_and_all_reach_dns, "a door calls doors", says="refund may call")
def _(manifests: Manifests) -> None:
    manifests.pod("refund").metadata["labels"]["boxoffice/calls-doors"] = "true"


@fault(only_callers_reach_the_ingress_and_all_reach_dns, "another ingress", says="trigger cannot call")
def _(manifests: Manifests) -> None:
    peer = policy_of(manifests, "callers-to-ingress")["egress"][0]["to"][0]
    peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] = "istio-system"


@fault(only_callers_reach_the_ingress_and_all_reach_dns, "no names", says="account cannot ask cluster DNS")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "to-dns")["egress"][0]["ports"] = [{"port": 53, "protocol": "TCP"}]


@fault(nothing_is_allowed_unless_it_is_said, "no default", says="no policy denies everything")
def _(manifests: Manifests) -> None:
    policy_of(manifests, "default-deny")["policyTypes"] = [INGRESS]


@fault(
    nothing_is_allowed_unless_it_is_said, "a listener that no policy names", says="listens, and has no policy"
)
def _(manifests: Manifests) -> None:
    manifests.pod("relay").containers[0]["ports"] = [{"containerPort": 8090}]


@fault(policies_are_about_something, "a selector of nothing", says="NetworkPolicy planted selects no pod")
def _(manifests: Manifests) -> None:
    plant(manifests, podSelector={"matchLabels": {"app": "relay"}}, policyTypes=[EGRESS])


@fault(policies_are_about_something, "a peer that is not there", says="names a peer that does not exist")
def _(manifests: Manifests) -> None:
    peer = {"podSelector": {"matchLabels": {"app": "relay"}}}
    plant(manifests, podSelector={}, policyTypes=[EGRESS], egress=[{"to": [peer]}])


@fault(
    stores_of_operators_reach_what_keeps_them, "no apiserver", says="postgres cannot reach", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.one("NetworkPolicy", "postgres-to-its-own"))
