"""Try which process can reach what: a pod with the labels of each process opens connections, and the results are compared.

Not every cluster enforces NetworkPolicies. The expected result follows from the secrets that shared_lib/processes.py gives each
process: for example, a process without the provider's key must not reach the provider.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from infra.kubernetes.commands import (
    NAMESPACE,
    KubernetesError,
    Object,
    apply,
    kubectl,
    objects,
    run,
    tool,
)
from infra.kubernetes.visitors import pod
from shared_lib.processes import PROCESSES, Role, Secret
from shared_lib.visible import say

# In another namespace: a likely target from a compromised pod.
OUTSIDE: Final = "kubernetes.default.svc.cluster.local:443"
TARGETS: Final = (
    "postgres:5432",
    "redis:6379",
    "kafka:9092",
    "sandbox:8080",
    "mail:5000",
    "auth:8080",
    OUTSIDE,
)
DONE_S: Final = 180.0
# Time until the policies are enforced for a new pod.
KNOWN_S: Final = 15
_TRYING: Final = f"""
import concurrent.futures as c, json, socket, sys, time
time.sleep({KNOWN_S})
def reached(target):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        return True
    except OSError:
        return False
with c.ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(sys.argv[1:], pool.map(reached, sys.argv[1:])))))
"""


def expected(process: str) -> dict[str, bool]:
    """The targets that a process may reach. `process` is its name with underscores."""
    needs = PROCESSES[process]
    return {
        "postgres:5432": needs.role is not None,
        "redis:6379": Secret.REDIS in needs.secrets,
        "kafka:9092": Secret.KAFKA in needs.secrets,
        "sandbox:8080": Secret.PROVIDER_KEY in needs.secrets,
        "mail:5000": Secret.MAIL in needs.secrets,
        "auth:8080": needs.role is Role.DOOR,  # every door fetches its keys
        OUTSIDE: False,
    }


def reach() -> int:
    """Print the table; 0 when each process reaches what it needs and nothing else."""
    templates = {name: labels for name, labels in _labels(objects(_KINDS)).items() if name in _CHECKED}
    like = next(one for one in objects("deployments") if one["metadata"]["name"] == "relay")
    pods = [_probe(name, labels, like) for name, labels in templates.items()]
    names = [one["metadata"]["name"] for one in pods]
    try:
        apply(pods)
        found = {name: _answer(f"reach-{name}") for name in templates}
    finally:
        run(
            tool(
                "kubectl", "delete", "pod", *names, "-n", NAMESPACE, "--grace-period=1", "--ignore-not-found"
            )
        )
    return compared(found)


def compared(found: Mapping[str, Mapping[str, bool]]) -> int:
    """Print the table; 0 when each process reached exactly its expected targets."""
    say("| process | " + " | ".join(TARGETS) + " |\n|" + " --- |" * (len(TARGETS) + 1))
    wrong = 0
    for name, reached in sorted(found.items()):
        wanted = expected(name.replace("-", "_"))
        cells = [_cell(wanted[target], reached[target]) for target in TARGETS]
        wrong += sum(wanted[target] is not reached[target] for target in TARGETS)
        say(f"| {name} | " + " | ".join(cells) + " |")
    is_open = all(all(reached.values()) for reached in found.values())
    if is_open:
        say("\nEvery process reaches every target: this cluster enforces no NetworkPolicies.")
    else:
        say(f"\n{wrong} connections are not as expected." if wrong else "\nEvery connection is as expected.")
    return 1 if wrong else 0


def _cell(wanted: bool, reached: bool) -> str:  # noqa: FBT001  # two answers side by side
    if wanted is reached:
        return "yes" if reached else "-"
    return "**open**" if reached else "**closed**"


_KINDS: Final = "deployments,jobs,services.serving.knative.dev"
_CHECKED: Final = frozenset(name.replace("_", "-") for name in PROCESSES if name != "cli")


def _labels(items: Iterable[Object]) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"].get("labels", {})
        for one in items
        if "template" in one["spec"]
    }


def _probe(name: str, labels: Mapping[str, str], like: Object) -> Object:
    """With the process's labels, except those that controllers select by; never ready, so that no Service routes calls to it."""
    one = pod(f"reach-{name}", like, [], [], [])
    one["metadata"]["labels"] = {
        key: value for key, value in labels.items() if key.startswith(("app.kubernetes.io/", "boxoffice/"))
    }
    (container,) = one["spec"]["containers"]
    container["command"] = ["python", "-c", _TRYING, *TARGETS]
    container["readinessProbe"] = {"exec": {"command": ["false"]}, "periodSeconds": 60}
    container["resources"]["requests"] = {"cpu": "1m", "memory": "32Mi"}
    return one


def _answer(name: str) -> dict[str, bool]:
    deadline = time.monotonic() + DONE_S
    while True:
        phase = kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "jsonpath={.status.phase}")
        if phase in ("Succeeded", "Failed"):
            break
        if time.monotonic() > deadline:
            raise KubernetesError(f"The pod {name} has not ended; it is {phase}.")
        time.sleep(1.0)
    found: dict[str, Any] = json.loads(kubectl("logs", name, "-n", NAMESPACE))
    return found
