"""An apiserver for one test session: the one of K8S_KUBECONFIG, or etcd, kube-apiserver and Knative's webhook of our own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.k8s.tools import ToolsError, built, kubectl_file

# Of each step, on a machine that is busy with other tests as well.
STEP_TIMEOUT_S: Final = 300.0
# Its resources are stored in another version than the one we write, through a conversion webhook that no module serves. Both
# versions have the same schema.
CONVERTED: Final = "kafkasources.sources.knative.dev"
# Everything is inside a network namespace of its own: two sessions may use the same address.
NODE_IP: Final = "10.93.0.1"
KILL: Final = 'for pid in "$BOX_STATE"/pids/*; do kill -9 "$(cat "$pid")" 2>/dev/null; done'


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}{self.err}"


@dataclass(frozen=True)
class Apiserver:
    """`throwaway`: started by this session and gone with it, so that everything may be written to it."""

    prefix: Sequence[str]
    environment: Mapping[str, str]
    throwaway: bool
    namespaces: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, objects: Sequence[Mapping[str, Any]] = ()) -> Answer:
        done = subprocess.run(
            [*self.prefix, *arguments],
            input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
            if objects
            else None,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def apply(self, objects: Sequence[Mapping[str, Any]], *, dry_run: bool) -> Answer:
        """Server-side, with warnings taken for failures. Objects that are taken stay unless `dry_run`."""
        flags = ["--server-side", "--warnings-as-errors", *(["--dry-run=server"] if dry_run else [])]
        return self.kubectl("apply", *flags, "-f", "-", objects=objects)


@contextmanager
def started() -> Iterator[Apiserver]:
    """The session's apiserver, with the CRDs. Raises ToolsError. Afterwards nothing of ours is left."""
    if given := os.environ.get("K8S_KUBECONFIG"):
        with _given(given) as server:
            yield server
        return
    scripts, crds = Path(os.environ["K8S_TOOLS"]), Path(os.environ["K8S_CRDS"])
    tools = built(str(scripts))
    state, name = Path(tempfile.mkdtemp(prefix="boxoffice-k8s-")), f"boxk8s-{uuid.uuid4().hex[:7]}"
    environment = {
        **os.environ,
        "BOX_TOOLS": str(tools),
        "BOX_STATE": str(state),
        "BOX_NETNS": name,
        "BOX_NODE_IP": NODE_IP,
        "KUBECONFIG": str(state / "kubeconfig"),
    }
    environment.pop("BOX_KUBECONFIG", None)
    server = Apiserver(
        ["nsenter", f"--net=/run/netns/{name}", str(tools / "bin" / "kubectl")], environment, throwaway=True
    )
    with _taken_down(scripts, environment):
        _run([str(scripts / "control-plane.sh")], environment)
        _run([str(scripts / "knative.sh"), "webhook"], environment)
        _install(server, crds)
        yield server
    if state.exists():
        raise ToolsError(f"down.sh left {state}")


@contextmanager
def _given(kubeconfig: str) -> Iterator[Apiserver]:
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    server = Apiserver([kubectl_file() or "kubectl", "--request-timeout=60s"], environment, throwaway=False)
    asked = server.kubectl("get", "--raw", "/readyz", "--request-timeout=10s")
    if asked.code:
        raise ToolsError(f"The apiserver of {kubeconfig} does not answer: {asked.err.strip()[-500:]}")
    try:
        yield server
    finally:
        for namespace in server.namespaces:
            server.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@contextmanager
def _taken_down(scripts: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Runs down.sh when the block ends, and when this process dies in it: a shell waits for the end of a pipe we hold.

    What it would end in order is ended at once: nothing of it is kept.
    """
    with tempfile.TemporaryFile() as said:
        guard = subprocess.Popen(
            ["sh", "-c", f'cat >/dev/null; {KILL}; exec "$0"', str(scripts / "down.sh")],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # a Ctrl-C for us must not end it
        )
        try:
            yield
        finally:
            guard.communicate(timeout=STEP_TIMEOUT_S)
            said.seek(0)
            if guard.returncode:
                raise ToolsError(f"down.sh failed: {said.read().decode(errors='replace')[-2000:]}")


def _install(server: Apiserver, crds: Path) -> None:
    """Folder by folder at the same time: most of it is waiting."""
    folders = sorted(folder for folder in crds.iterdir() if folder.is_dir())

    def install(folder: Path) -> Answer:
        return server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(folder))

    with ThreadPoolExecutor(4) as pool:
        refused = [answer.err for answer in pool.map(install, folders) if answer.code]
    if refused:
        raise ToolsError(f"The CRDs of {crds} are not taken: {refused[0][-2000:]}")
    if server.kubectl("get", "crd", CONVERTED).code == 0:
        patch = '[{"op":"replace","path":"/spec/conversion","value":{"strategy":"None"}}]'
        server.kubectl("patch", "crd", CONVERTED, "--type", "json", "-p", patch)
    waited = server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
    if waited.code:
        raise ToolsError(f"The CRDs are not established: {waited.err[-2000:]}")


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        logs = Path(environment["BOX_STATE"], "logs")
        tails = [
            f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(logs.glob("*.log"))
        ]
        raise ToolsError("\n".join([f"{command[0]} failed: {done.stderr[-2000:]}", *tails]))


def kubectl_for_rendering() -> str:
    """kubectl whose `kustomize` renders. Raises ToolsError."""
    if found := kubectl_file():
        return found
    if scripts := os.environ.get("K8S_TOOLS"):
        return str(built(scripts) / "bin" / "kubectl")
    raise ToolsError("kubectl is not on PATH; K8S_BIN may name the folder it is in.")


__all__ = ["Answer", "Apiserver", "kubectl_for_rendering", "started"]
