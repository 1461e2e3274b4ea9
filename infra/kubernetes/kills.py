"""The drill on pods: how one is killed, and how the load runs beside them; infra/drill/rounds.py has the rounds.

    python3 -m infra.kubernetes kills [NAME...] [--rate 10]

A kill is SIGKILL to every process of the pod, then its deletion: another pod with another address takes its place. For a
door that has scaled to zero, the drill waits until the load has started one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from infra.drill.rounds import DOORS, STORES_AND_WORKERS, Customers, DrillError, drill, talking_to
from infra.kubernetes.commands import (
    NAMESPACE,
    NODE,
    Object,
    docker,
    environment,
    kubectl,
    objects,
)
from infra.kubernetes.deploy import wait
from infra.kubernetes.needs import need
from infra.kubernetes.visitors import player, speaking
from shared_lib.visible import say

VICTIMS: Final = (*STORES_AND_WORKERS, *DOORS, "sandbox", "auth", "gateway")
WAKES_S: Final = 40.0
_KINDS: Final = "deployments,statefulsets,services.serving.knative.dev"


class Pods:
    """The cluster of `make kind_up`."""

    name = "infra.kubernetes kills"
    first = "make kind_up"
    victims: Sequence[str] = VICTIMS

    def running(self) -> list[str]:
        return [one["metadata"]["name"] for one in objects(_KINDS)]

    @contextmanager
    def load(self, rate: float) -> Iterator[Customers]:
        with player("load") as name:
            process = subprocess.Popen(
                speaking(name, ["python", "-m", "infra.drill.load", "--rate", str(rate)]),
                env=environment(),
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            with talking_to(process) as customers:
                yield customers

    def kill(self, victim: str, down_s: float) -> None:
        """Kill the pods of a part. Kubernetes decides when they restart, so `down_s` is ignored."""
        del down_s
        for pod in _pods(victim):
            ids = [
                status["containerID"].rpartition("/")[2]
                for status in pod["status"].get("containerStatuses", [])
                if status.get("containerID")
            ]
            # A timeout of 0 is SIGKILL at once. Deletion alone would send SIGTERM first.
            docker("exec", NODE, "crictl", "stop", "--timeout", "0", *ids)
            kubectl(
                "delete", "pod", pod["metadata"]["name"], "-n", NAMESPACE, "--grace-period=1", "--wait=false"
            )

    def wait(self) -> None:
        wait(self.running())

    def show(self) -> None:
        say(kubectl("get", "pods", "-n", NAMESPACE, "-o", "wide"))


def _pods(victim: str) -> list[Object]:
    """The running pods of a part; for a door scaled to zero, those that start within WAKES_S."""
    deadline = time.monotonic() + WAKES_S
    while True:
        pods = objects("pods", "-l", f"app.kubernetes.io/name={victim}")
        running = [one for one in pods if one["status"].get("phase") == "Running"]
        if running:
            return running
        if time.monotonic() > deadline:
            raise DrillError(f"No pod of {victim} runs, although customers have been coming for a while.")
        time.sleep(0.2)


def kills(arguments: Sequence[str]) -> int:
    """0 when nothing was lost or doubled, and every round became calm in time."""
    need("docker")
    return drill(Pods(), arguments)
