"""kubectl on one cluster, and questions about what runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from infra.kubernetes.commands import KUBECONFIG, NAMESPACE

Object = dict[str, Any]
T = TypeVar("T")
CALL_S: Final = 60.0
POLL_S: Final = 0.5


class Kubectl:
    """`inside` is a prefix for commands that must be run in the cluster's own network, `variables` are for our stages."""

    def __init__(self, program: Path, kubeconfig: Path, inside: Sequence[str] = (), **variables: str) -> None:
        self._program, self.kubeconfig, self._inside = program, kubeconfig, tuple(inside)
        self._variables = variables

    @property
    def folder(self) -> Path:
        return self._program.parent

    def command(self, *arguments: str) -> list[str]:
        """For a process of one's own."""
        return [*self._inside, str(self._program), f"--kubeconfig={self.kubeconfig}", *arguments]

    def run(
        self, *arguments: str, text: str | None = None, within_s: float = CALL_S
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            text=True,
            capture_output=True,
            timeout=within_s,
            check=False,
        )

    def __call__(self, *arguments: str, text: str | None = None, within_s: float = CALL_S) -> str:
        """What it wrote. AssertionError with what it complained of when it failed."""
        ended = self.run(*arguments, text=text, within_s=within_s)
        assert ended.returncode == 0, f"kubectl {' '.join(arguments[:6])}: {ended.stderr.strip()}"
        return ended.stdout

    def apply(self, items: Sequence[Mapping[str, Any]]) -> None:
        whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        self("apply", "--server-side", "--force-conflicts", "--field-manager=tests", "-f", "-", text=whole)

    def one(self, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
        found: Object = json.loads(self("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def all(self, kind: str, selector: str = "", namespace: str = NAMESPACE) -> list[Object]:
        items: list[Object] = json.loads(self("get", kind, "-n", namespace, "-l", selector, "-o", "json"))[
            "items"
        ]
        return items

    def scale(self, what: str, replicas: int) -> None:
        """`statefulset/postgres`; see `labelled` for when it has come about."""
        self("scale", what, "-n", NAMESPACE, f"--replicas={replicas}")

    def labelled(self, name: str) -> list[Object]:
        """Pods of a store, worker or neighbour, those that are about to end among them."""
        return self.all("pods", f"app.kubernetes.io/name={name}")

    def sql(self, asked: str) -> str:
        """The answer of the database, as its superuser in its pod."""
        psql = ("psql", "-U", "boxoffice", "-d", "boxoffice", "-Atc", asked)
        return self("exec", "-n", NAMESPACE, "postgres-0", "--", *psql).strip()

    def pods(self, door: str) -> list[Object]:
        """Pods of a door that are not about to end."""
        found = self.all("pods", f"serving.knative.dev/service={door}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, door: str) -> list[str]:
        """The names of those that take calls."""
        return [pod["metadata"]["name"] for pod in self.pods(door) if condition(pod, "Ready") == "True"]

    def ours(self, *arguments: str, within_s: float) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` of this checkout with this cluster as its target."""
        variables = self._variables | {"K8S_BIN": str(self.folder)}
        if (
            self.kubeconfig != KUBECONFIG
        ):  # of `make kind_up`, which knows the tags of the images it has loaded
            variables["K8S_KUBECONFIG"] = str(self.kubeconfig)
        return subprocess.run(
            [*self._inside, sys.executable, *arguments],
            env={name: value for name, value in os.environ.items() if name != "K8S_KUBECONFIG"} | variables,
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=within_s,
            check=False,
        )


def condition(one: Object, kind: str = "Ready") -> str:
    """True, False or Unknown; empty when the cluster has not said anything about it yet."""
    said = {c["type"]: c["status"] for c in one.get("status", {}).get("conditions", [])}
    return str(said.get(kind, ""))


def until(what: str, look: Callable[[], T], within_s: float, is_good: Callable[[T], bool] = bool) -> T:
    """What `look` found once it is good. AssertionError with what it found last when that does not come."""
    deadline = time.monotonic() + within_s
    while not is_good(found := look()):
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}; last seen: {found!r}"
        time.sleep(POLL_S)
    return found


__all__ = ["NAMESPACE", "Kubectl", "Object", "condition", "until"]
