"""A real apiserver takes both overlays, with Knative's webhook and PodSecurity; and refuses a fault of each layer."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.k8s.apiserver import Answer, Apiserver
from tests.k8s.manifests import (
    NAMESPACE,
    OVERLAYS,
    PRODUCTION,
    VARIANTS,
    Manifests,
    Object,
    Pod,
    at,
    rendered,
)
from tests.k8s.namespaces import FIRST, moved

pytestmark = pytest.mark.k8s

# Knative's part of a door's pod template, which no Pod has.
NOT_OF_PODS: Final = (
    "containerConcurrency",
    "timeoutSeconds",
    "responseStartTimeoutSeconds",
    "idleTimeoutSeconds",
)


# Of these operators there are no CRDs at hand, so that an apiserver of ours does not know their objects. Rules look at them.
WITHOUT_CRDS: Final = ("external-secrets.io", "keda.sh", "barmancloud.cnpg.io")
# The variant that has an object of each kind below.
FULLEST: Final = f"{PRODUCTION}+kafka-source"


@dataclass(frozen=True)
class Applied:
    """A variant in a namespace of its own. `answer`: what the apiserver said to it."""

    server: Apiserver
    manifests: Manifests
    namespace: str
    answer: Answer

    def ask(self, *objects: Object) -> Answer:
        """What the apiserver would say to these; nothing is kept."""
        return self.server.apply(objects, dry_run=True)


@pytest.fixture(scope="module")
def served(apiserver: Apiserver) -> frozenset[str]:
    """The API groups that the apiserver knows."""
    answer = apiserver.kubectl("api-versions")
    assert answer.code == 0, answer.text
    return frozenset(line.partition("/")[0] for line in answer.out.splitlines() if "/" in line)


@pytest.fixture(scope="module")
def applied(
    apiserver: Apiserver, served: frozenset[str], request: pytest.FixtureRequest
) -> Iterator[Applied]:
    namespace = f"{NAMESPACE}-{uuid.uuid4().hex[:7]}"
    manifests = moved(asked_of(rendered(request.param), served), namespace)
    first = [thing for thing in manifests.objects if thing["kind"] in FIRST]
    apiserver.namespaces.append(namespace)
    made = apiserver.apply(first, dry_run=False)
    assert made.code == 0, made.text
    rest = [thing for thing in manifests.objects if thing["kind"] not in FIRST]
    if not apiserver.throwaway:
        _give_up_node_ports(rest)
    # Of a component that adds nothing but what has no CRD, there is nothing to ask.
    answer = apiserver.apply(rest, dry_run=not apiserver.throwaway) if rest else Answer(0, "", "")
    yield Applied(apiserver, manifests, namespace, answer)
    # They hold ports of the node, which the next variant asks for.
    apiserver.kubectl("delete", "service", "--all", "--namespace", namespace, "--wait=false")


def _give_up_node_ports(objects: list[Object]) -> None:
    """Boxoffice may run in this cluster, and hold them."""
    for port in (
        port for thing in objects if thing["kind"] == "Service" for port in at(thing, "spec", "ports") or []
    ):
        port.pop("nodePort", None)


def asked_of(manifests: Manifests, served: frozenset[str]) -> Manifests:
    """Without what the apiserver need not know (what it must know, and does not, it refuses); of a component, what it adds
    to its overlay and changes there: the rest is asked about with the overlay.
    """
    absent = set(WITHOUT_CRDS) - served
    same = [] if manifests.variant in OVERLAYS else rendered(manifests.overlay).objects
    kept = [
        thing
        for thing in manifests.objects
        if thing["apiVersion"].partition("/")[0] not in absent
        and (thing["kind"] in FIRST or thing not in same)
    ]
    return Manifests(manifests.variant, kept)


def as_pod(pod: Pod, namespace: str) -> Object:
    """The pod that a controller would make of a template, for the apiserver to judge."""
    spec = {name: value for name, value in copy.deepcopy(pod.spec).items() if name not in NOT_OF_PODS}
    claims = [claim["metadata"]["name"] for claim in at(pod.owner, "spec", "volumeClaimTemplates") or []]
    spec["volumes"] = [*(spec.get("volumes") or []), *({"name": claim, "emptyDir": {}} for claim in claims)]
    for container in spec["containers"]:
        container.setdefault("name", "user-container")
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            if pod.door and at(container, probe, "httpGet") is not None:
                container[probe]["httpGet"].setdefault("port", container["ports"][0]["containerPort"])
    name = f"{pod.owner['kind']}-{pod.owner['metadata']['name']}".lower()
    metadata = {"name": name, "namespace": namespace, "labels": pod.labels, "annotations": pod.annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


every_variant = pytest.mark.parametrize("applied", VARIANTS, indirect=True)


@every_variant
def test_every_object_is_taken_without_a_warning(applied: Applied) -> None:
    assert (applied.answer.code, applied.answer.err) == (0, "")
    asked = sum(thing["kind"] not in FIRST for thing in applied.manifests.objects)
    assert (
        len(applied.answer.out.splitlines()) == asked >= (40 if applied.manifests.variant in OVERLAYS else 0)
    )


@every_variant
def test_a_second_apply_has_nothing_to_change(applied: Applied) -> None:
    if not applied.server.throwaway:
        return  # nothing was kept, so that there is nothing to compare with
    answer = applied.server.kubectl("diff", "--server-side", "-f", "-", objects=applied.manifests.objects)
    assert (answer.code, answer.out) == (0, "")


@every_variant
def test_every_pod_is_taken(applied: Applied) -> None:
    """Of a Deployment's or a door's template the apiserver refuses nothing: pods are what PodSecurity judges."""
    pods = [as_pod(pod, applied.namespace) for pod in applied.manifests.pods]
    if not pods and applied.manifests.variant not in OVERLAYS:
        return  # a component that changes none
    answer = applied.ask(*pods)
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.out.splitlines()) == len(pods) > (12 if applied.manifests.variant in OVERLAYS else 0)


def _container(thing: Object) -> Object:
    found: Object = thing["spec"]["template"]["spec"]["containers"][0]
    return found


def _door_with_an_unknown_field(manifests: Manifests) -> Object:
    door = manifests.one("Door", "renew")
    _container(door)["imagePullPolice"] = "IfNotPresent"
    return door


def _door_that_takes_a_quarter_of_an_hour(manifests: Manifests) -> Object:
    door = manifests.one("Door", "renew")
    door["spec"]["template"]["spec"]["timeoutSeconds"] = 900
    return door


def _door_with_an_init_container(manifests: Manifests) -> Object:
    door = manifests.one("Door", "renew")
    door["spec"]["template"]["spec"]["initContainers"] = [
        {"name": "wait", "image": "dev.local/boxoffice:local"}
    ]
    return door


def _door_scaled_on_the_service(manifests: Manifests) -> Object:
    door = manifests.one("Door", "renew")
    door["metadata"]["annotations"] = {"autoscaling.knative.dev/max-scale": "3"}
    return door


def _door_with_the_bounds_of_its_scale_swapped(manifests: Manifests) -> Object:
    door = manifests.one("Door", "renew")
    door["spec"]["template"]["metadata"]["annotations"] |= {
        "autoscaling.knative.dev/min-scale": "5",
        "autoscaling.knative.dev/max-scale": "3",
    }
    return door


def _deployment_with_an_unknown_field(manifests: Manifests) -> Object:
    relay = manifests.one("Deployment", "relay")
    relay["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    return relay


def _deployment_that_gains_privileges(manifests: Manifests) -> Object:
    relay = manifests.one("Deployment", "relay")
    del _container(relay)["securityContext"]
    return relay


def _quantity_that_is_none(manifests: Manifests) -> Object:
    relay = manifests.one("Deployment", "relay")
    _container(relay)["resources"]["limits"]["memory"] = "5Zi"
    return relay


def _policy_with_a_wrong_selector(manifests: Manifests) -> Object:
    policy = manifests.some("NetworkPolicy")
    policy["spec"]["podSelectors"] = {}
    return policy


def _pod(manifests: Manifests, process: str) -> Object:
    pod = as_pod(manifests.pod(process), manifests.pod(process).owner["metadata"]["namespace"])
    del pod["spec"]["containers"][0]["securityContext"]
    return pod


REFUSED: Final[dict[str, tuple[Callable[[Manifests], Object], str]]] = {
    "schema: a door's unknown field": (_door_with_an_unknown_field, "imagePullPolice"),
    "schema: a Deployment's unknown field": (_deployment_with_an_unknown_field, "terminationGracePeriod"),
    "schema: a quantity": (_quantity_that_is_none, "quantities must match"),
    "schema: a policy's unknown field": (_policy_with_a_wrong_selector, "podSelectors"),
    "webhook: timeoutSeconds 900": (_door_that_takes_a_quarter_of_an_hour, "expected 0 <= 900 <= 600"),
    "webhook: an init container": (_door_with_an_init_container, "must not set the field(s)"),
    "webhook: scaling on the Service": (_door_scaled_on_the_service, "autoscaling.knative.dev/max-scale"),
    "webhook: min above max": (
        _door_with_the_bounds_of_its_scale_swapped,
        "max-scale=3 is less than min-scale=5",
    ),
    "PodSecurity: a template without securityContext": (
        _deployment_that_gains_privileges,
        'would violate PodSecurity "restricted',
    ),
    "PodSecurity: a worker's pod without securityContext": (
        lambda manifests: _pod(manifests, "relay"),
        'violates PodSecurity "restricted',
    ),
    "PodSecurity: a door's pod without securityContext": (
        lambda manifests: _pod(manifests, "webhook"),
        'violates PodSecurity "restricted',
    ),
}


@pytest.mark.parametrize("applied", OVERLAYS, indirect=True)
@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_refused_by_name(applied: Applied, case: str) -> None:
    plant, message = REFUSED[case]
    answer = applied.ask(plant(applied.manifests.planted()))
    assert answer.code != 0
    assert message in answer.err


# What operators read, of which there is nothing here but the schema.
OPERATORS: Final = (
    "KafkaSource",
    "KafkaSink",
    "PingSource",
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
    "KafkaUser",
    "Cluster",
    "Pooler",
)


@pytest.mark.parametrize("applied", [FULLEST], indirect=True)
@pytest.mark.parametrize("kind", OPERATORS)
def test_an_operators_schema_refuses_what_it_does_not_know(applied: Applied, kind: str) -> None:
    """Were its schema open, everything would be taken."""
    planted = moved(rendered(FULLEST), applied.namespace).some(kind)
    planted["spec"]["replicaz"] = 3
    answer = applied.ask(planted)
    assert answer.code != 0
    assert "replicaz" in answer.err


@pytest.mark.parametrize("group", WITHOUT_CRDS)
def test_what_is_not_asked_of_the_apiserver_is_in_use(group: str) -> None:
    assert any(
        thing["apiVersion"].startswith(f"{group}/")
        for variant in VARIANTS
        for thing in rendered(variant).objects
    )
