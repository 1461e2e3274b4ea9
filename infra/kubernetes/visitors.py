"""Temporary pods: the story of `make demo`, the load of `make kills`, the operator's command line.

The clock, the database and Kafka are not published, so these run inside the cluster. NetworkPolicies of their own
(k8s/overlays/kind/visitors.yaml) let them through and match no other pods.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from infra.kubernetes.commands import (
    NAMESPACE,
    ROOT,
    KubernetesError,
    Object,
    apply,
    environment,
    kubectl,
    objects,
    run,
    tool,
)
from infra.kubernetes.knative import need_cluster
from infra.kubernetes.reasons import reasons
from infra.local.console import Console
from infra.local.progress import Progress
from shared_lib.processes import PROCESSES, Role, Secret

GATEWAY: Final = "http://gateway:8080"
STARTED_S: Final = 60
# A pod that is not deleted ends after this time.
_LIVES_S: Final = 6 * 3600
_SERVICE_ACCOUNT: Final = "visitor"
# Labels by which the NetworkPolicies of the base let a pod through; visitors.yaml adds gateway, Auth and mail.
_WAYS: Final = ("uses-postgres", "uses-kafka", "reaches-provider")


@contextmanager
def visitor(name: str, like: str, secrets: Sequence[str], ways: Sequence[str]) -> Iterator[str]:
    """A pod of the image that the Deployment `like` has, with these Secrets and NetworkPolicies; deleted afterwards. Yields its name."""
    need_cluster()
    apply([pod(name, _deployment(like), _settings(), secrets, ways)])
    try:
        _started(name)
        yield name
    finally:
        run(tool("kubectl", "delete", "pod", name, "-n", NAMESPACE, "--grace-period=1", "--ignore-not-found"))


def demo(arguments: Sequence[str]) -> int:
    """Play the story through the gateway; 0 when it went as expected and every amount agrees."""
    with player("demo") as name:
        return _exec(name, ["python", "-m", "infra.demo.inside", *arguments])


def cli(arguments: Sequence[str]) -> int:
    """`boxoffice ...` with the secrets of the process `cli` only."""
    needs = PROCESSES["cli"]
    ways = [*_WAYS, "uses-redis", "calls-doors"]
    with visitor("cli", "relay", [_database(needs.role), *sorted(needs.secrets)], ways) as name:
        return _exec(name, ["python", "-m", "shared_lib.cli.main", *arguments])


@contextmanager
def player(name: str) -> Iterator[str]:
    """A pod that acts as customer, as operator and on the provider's control surface, for the story and the load."""
    with visitor(name, "sandbox", [_database(Role.OPERATOR), Secret.PROVIDER_KEY], _WAYS) as pod_name:
        yield pod_name


def speaking(name: str, command: Sequence[str]) -> list[str]:
    """The command line that runs a command in a visitor and passes standard input on."""
    return tool("kubectl", "exec", "-i", "-n", NAMESPACE, name, "--", *command)


def pod(
    name: str, like: Object, settings: Sequence[Object], secrets: Sequence[str], ways: Sequence[str]
) -> Object:
    """The pod's manifest, with the same restrictions as every other pod."""
    (container, *_) = like["spec"]["template"]["spec"]["containers"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/part-of": "boxoffice",
                "app.kubernetes.io/component": "visitor",
                **{f"boxoffice/{way}": "true" for way in ways},
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LIVES_S,
            "terminationGracePeriodSeconds": 1,
            "serviceAccountName": _SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": container["image"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", str(_LIVES_S)],
                    "env": [{"name": "GATEWAY_URL", "value": GATEWAY}],
                    "envFrom": [
                        *({"configMapRef": one["configMapRef"]} for one in settings),
                        # Optional, as everywhere: a cluster may lack some kinds of secrets.
                        *({"secretRef": {"name": str(secret), "optional": True}} for secret in secrets),
                    ],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "64Mi"},
                        "limits": {"memory": "512Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # a volume of its own
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _deployment(name: str) -> Object:
    found = {one["metadata"]["name"]: one for one in objects("deployments")}
    if name not in found:
        raise KubernetesError(f"There is no {name} in the cluster. First: make kind_up")
    return found[name]


def _settings() -> list[dict[str, Any]]:
    """The ConfigMaps that trigger reads: their names end in a hash of their content."""
    (container, *_) = _deployment("trigger")["spec"]["template"]["spec"]["containers"]
    return [source for source in container.get("envFrom", []) if "configMapRef" in source]


def _database(role: Role | None) -> str:
    assert role is not None
    return f"database-{role.removeprefix('boxoffice_')}"


def _started(name: str) -> None:
    arguments = ["wait", "pod", name, "-n", NAMESPACE, "--for=condition=Ready", f"--timeout={STARTED_S}s"]
    with Progress(Console(ROOT), "Starting") as progress:
        progress.step(f"the pod {name}")
        ended = run(tool("kubectl", *arguments))
    if ended.returncode:
        why = reasons(one for one in objects("pods") if one["metadata"]["name"] == name)
        raise KubernetesError("\n".join([f"The pod {name} has not started:", *why]))


def _exec(name: str, command: Sequence[str]) -> int:
    """Run on this terminal if there is one. Standard input of a script or a pipe is passed on too."""
    terminal = "-it" if sys.stdin.isatty() and sys.stdout.isatty() else "-i"
    line = tool("kubectl", "exec", terminal, "-n", NAMESPACE, name, "--", *command)
    return subprocess.run(line, env=environment(), check=False).returncode


def psql(role: str, arguments: Sequence[str]) -> int:
    """Psql as this role in the pod of the database."""
    need_cluster()
    (found, *_) = kubectl(
        "get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=postgres", "-o", "name"
    ).split() or [""]
    if not found:
        raise KubernetesError("There is no postgres in the cluster. First: make kind_up")
    return _exec(found, ["psql", "-d", "boxoffice", "-U", f"boxoffice_{role}", *arguments])
