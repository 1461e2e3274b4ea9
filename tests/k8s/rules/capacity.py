"""What the doors and workers take at most fits what the stores and the node have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from shared_lib.processes import PROCESSES
from shared_lib.settings import Settings
from tests.k8s.manifests import KIND, PRODUCTION, Manifests, Pod, at
from tests.k8s.quantities import quantity
from tests.k8s.rules.doors import MAX_SCALE, MIN_SCALE
from tests.k8s.rules.registry import fault, rule

# PostgreSQL keeps these back for superusers.
RESERVED: Final = 3
POSTGRES_DEFAULT: Final = 100
# CloudNativePG's instance manager and metrics exporter.
OPERATOR: Final = 5
# A relay also holds the session that owns its shards.
RELAY_SESSIONS: Final = 1
# `roles` and `migrate` connect a second time for grants.
JOB_CONNECTIONS: Final = 2
# psql, the command line, a demo.
PEOPLE: Final = 5
# A node of two cores, of which Kubernetes, Knative and the ingress ask for one and a half.
CORES: Final = Decimal(2) - Decimal("1.5")
QUEUE_PROXY: Final = "queue.sidecar.serving.knative.dev/cpu-resource-request"
QUEUE_PROXY_DEFAULT: Final = "25m"


def replicas_max(manifests: Manifests, pod: Pod) -> int:
    """How many of these pods there may be at once, a rollout left out."""
    if pod.door:
        return int(pod.annotations.get(MAX_SCALE) or 0)
    name = pod.owner["metadata"]["name"]
    for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        if at(scaler, "spec", "scaleTargetRef", "name") == name:
            return int(scaler["spec"].get("maxReplicas") or scaler["spec"].get("maxReplicaCount") or 100)
    return int(at(pod.owner, "spec", "replicas") or 1)


def connections_of(manifests: Manifests, pod: Pod) -> int:
    """What one pod takes of PostgreSQL at most."""
    needs = PROCESSES.get(pod.process)
    if needs is None or needs.role is None:
        return JOB_CONNECTIONS if pod.process in ("roles", "catalog") else 0
    if pod.owner["kind"] in ("Job", "CronJob"):
        return JOB_CONNECTIONS
    given = manifests.environment(pod.containers[-1])
    pool = sum(
        int(given.get(f"BOXOFFICE_{name.upper()}") or Settings.model_fields[name].default)
        for name in ("writers", "readers")
    )
    return pool + (RELAY_SESSIONS if pod.process == "relay" else 0)


def connections_max(manifests: Manifests) -> int | None:
    """What PostgreSQL of this overlay takes, less what it keeps back. None: there is none."""
    for cluster in manifests.of("Cluster"):
        own = at(cluster, "spec", "postgresql", "parameters", "max_connections") or POSTGRES_DEFAULT
        return int(own) - RESERVED - OPERATOR
    for pod in manifests.pods:
        if pod.process == "postgres":
            words = " ".join(str(word) for word in pod.containers[-1].get("args") or [])
            found = re.search(r"max_connections=(\d+)", words)
            return (int(found[1]) if found else POSTGRES_DEFAULT) - RESERVED
    return None


@rule
def connections_fit_what_postgresql_takes(manifests: Manifests) -> Iterator[str]:
    there = connections_max(manifests)
    if there is None:
        yield "there is no PostgreSQL"
        return
    parts = {
        pod.name: replicas_max(manifests, pod) * connections_of(manifests, pod) for pod in manifests.pods
    }
    parts["people"] = PEOPLE
    doors = sum(parts[pod.name] for pod in manifests.pods if pod.door)
    for pooler in manifests.of("Pooler"):
        name, instances = f"Pooler {pooler['metadata']['name']}", int(pooler["spec"].get("instances", 1))
        own = at(pooler, "spec", "pgbouncer", "parameters") or {}
        server = int(own.get("max_db_connections") or own.get("default_pool_size") or 20) * instances
        # Doors go through it or, while it is passed by, around it: never both.
        parts[name] = max(0, server - doors)
        if (clients := int(own.get("max_client_conn") or 100) * instances) < doors:
            yield f"{name} takes {clients} connections, and the doors have {doors}"
    if (wanted := sum(parts.values())) > there:
        most = sorted(parts.items(), key=lambda one: -one[1])
        yield f"{wanted} connections at most, {there} there are: " + ", ".join(
            f"{n} {name}" for name, n in most if n
        )


@rule
def requests_of_cpu_fit_a_small_node(manifests: Manifests) -> Iterator[str]:
    """With every door awake once, as a deployment wakes them, and the largest job."""
    if manifests.overlay != KIND:
        return
    total, job = Decimal(0), Decimal(0)
    for pod in manifests.pods:
        own = max(
            sum((_cpu(container) for container in pod.spec.get("containers") or []), Decimal(0)),
            *(_cpu(container) for container in pod.spec.get("initContainers") or []),
            Decimal(0),
        )
        if pod.door:
            proxy = quantity(pod.annotations.get(QUEUE_PROXY, QUEUE_PROXY_DEFAULT)) or Decimal(0)
            total += (own + proxy) * max(1, int(pod.annotations.get(MIN_SCALE) or 0))
        elif pod.owner["kind"] in ("Job", "CronJob"):
            job = max(job, own)
        else:
            total += own * replicas_max(manifests, pod)
    if total + job > CORES:
        yield f"requests of CPU come to {total + job}, of {CORES} that are free"


def _cpu(container: dict[str, Any]) -> Decimal:
    return quantity(at(container, "resources", "requests", "cpu") or 0) or Decimal(0)


@fault(connections_fit_what_postgresql_takes, "a door that scales far", says="connections at most")
def _(manifests: Manifests) -> None:
    manifests.pod("account").metadata["annotations"][MAX_SCALE] = "500"


@fault(connections_fit_what_postgresql_takes, "larger pools", says="connections at most")
def _(manifests: Manifests) -> None:
    for config in manifests.of("ConfigMap"):
        if "BOXOFFICE_WRITERS" in (config.get("data") or {}):
            config["data"] |= {"BOXOFFICE_WRITERS": "32", "BOXOFFICE_READERS": "64"}


@fault(
    connections_fit_what_postgresql_takes, "a smaller PostgreSQL", says="connections at most", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    manifests.some("Cluster")["spec"]["postgresql"]["parameters"]["max_connections"] = "20"


@fault(connections_fit_what_postgresql_takes, "PostgreSQL as it comes", says="97 there are", only=KIND)
def _(manifests: Manifests) -> None:
    manifests.pod("postgres").containers[0]["args"] = ["postgres"]
    manifests.pod("account").metadata["annotations"][MAX_SCALE] = "50"


@fault(
    connections_fit_what_postgresql_takes, "a pooler that takes few", says="takes 30 conn", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    spec = manifests.some("Pooler")["spec"]
    spec["instances"], spec["pgbouncer"]["parameters"]["max_client_conn"] = 3, "10"


@fault(requests_of_cpu_fit_a_small_node, "a door that asks for much", says="requests of CPU", only=KIND)
def _(manifests: Manifests) -> None:
    manifests.pod("account").containers[0]["resources"]["requests"]["cpu"] = "500m"


@fault(requests_of_cpu_fit_a_small_node, "queue-proxy as it comes", says="requests of CPU", only=KIND)
def _(manifests: Manifests) -> None:
    for pod in manifests.pods:
        if pod.door:
            pod.metadata["annotations"] |= {QUEUE_PROXY: "100m"}
