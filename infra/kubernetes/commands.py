"""kubectl, kind and docker as commands, with the kubeconfig of the kind cluster, never the caller's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".local" / "kind"
# K8S_KUBECONFIG names a cluster made outside these stages, for example by a test. KUBECONFIG is never read.
KUBECONFIG: Final = Path(os.environ.get("K8S_KUBECONFIG") or FOLDER / "kubeconfig").absolute()
CLUSTER: Final = "boxoffice"
NODE: Final = f"{CLUSTER}-control-plane"
NAMESPACE: Final = "boxoffice"
# The field manager of our fields: `kubectl diff` and `apply` compare only these.
MANAGER: Final = "boxoffice"

Object = dict[str, Any]


class KubernetesError(RuntimeError):
    """A tool is missing or a step has failed; the text is for people."""


def found(name: str) -> str | None:
    """The path of a tool in the folder K8S_BIN or on PATH; None when it is not installed."""
    folders = os.environ.get("K8S_BIN", ""), os.environ.get("PATH", "")
    return shutil.which(name, path=os.pathsep.join(filter(None, folders)))


def environment() -> dict[str, str]:
    return os.environ | {"KUBECONFIG": str(KUBECONFIG)}


def tool(name: str, *arguments: str) -> list[str]:
    """The command line of a tool. KubernetesError when it is not installed."""
    path = found(name)
    if path is None:
        raise KubernetesError(f"{name} is not installed (looked on PATH and in K8S_BIN).")
    return [path, *arguments]


def run(
    command: Sequence[str],
    text: str | None = None,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end and capture the output. KubernetesError after `timeout_s`; the caller checks the exit code."""
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment() | dict(env or {}),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            text=True,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise KubernetesError(f"{_short(command)} has not ended within {timeout_s:.0f} s.") from error


def output(
    command: Sequence[str],
    text: str | None = None,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Its standard output. KubernetesError with its standard error when it fails."""
    ended = run(command, text, timeout_s, env)
    if ended.returncode:
        raise KubernetesError(f"{_short(command)} failed:\n{(ended.stderr or ended.stdout).strip()}")
    return ended.stdout


def kubectl(*arguments: str, text: str | None = None, timeout_s: float | None = 120.0) -> str:
    return output(tool("kubectl", *arguments), text, timeout_s)


def kind(*arguments: str, text: str | None = None) -> str:
    return output(tool("kind", *arguments), text)


def docker(*arguments: str, build: bool = False) -> str:
    """Run docker. `build`: on the daemon that builds images, BUILD_DOCKER_HOST when it differs from kind's."""
    return output(tool("docker", *arguments), env=building() if build else None)


def building() -> dict[str, str]:
    """The environment of commands for the daemon that builds images."""
    host = os.environ.get("BUILD_DOCKER_HOST")
    return {"DOCKER_HOST": host} if host else {}


def objects(kinds: str, *arguments: str, namespace: str = NAMESPACE) -> list[Object]:
    """Live objects of one or more kinds, comma separated."""
    listed = kubectl("get", kinds, "-n", namespace, "-o", "json", *arguments)
    items: list[Object] = json.loads(listed)["items"]
    return items


def parsed(manifests: str) -> list[Object]:
    """YAML documents as objects. kubectl parses them, because the standard library has no YAML parser."""
    text = kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", text=manifests)
    return list(documents(text))


def documents(text: str) -> Iterator[Object]:
    """Consecutive JSON documents; lists are replaced by their items."""
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        document, length = decoder.raw_decode(rest)
        at += length
        yield from document["items"] if document["kind"] == "List" else [document]


def as_list(items: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def apply(items: Sequence[Mapping[str, Any]]) -> str:
    """Apply server-side: the apiserver merges, and an object without differences is not changed."""
    arguments = ["apply", "--server-side", f"--field-manager={MANAGER}", "--force-conflicts", "-f", "-"]
    return kubectl(*arguments, text=as_list(items)) if items else ""


def _short(command: Sequence[str]) -> str:
    name, *rest = command
    return " ".join([Path(name).name, *rest[:4]])
