"""kubectl, kind and docker as commands, on a cluster of our own with a kubeconfig of its own: never the caller's."""

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
# K8S_KUBECONFIG: a cluster made outside these stages, such as by a test. Never KUBECONFIG.
KUBECONFIG: Final = Path(os.environ.get("K8S_KUBECONFIG") or FOLDER / "kubeconfig").absolute()
CLUSTER: Final = "boxoffice"
NODE: Final = f"{CLUSTER}-control-plane"
NAMESPACE: Final = "boxoffice"
# Fields of ours in an object belong to this name: `kubectl diff` and `apply` compare those alone.
MANAGER: Final = "boxoffice"

Object = dict[str, Any]


class KubernetesError(RuntimeError):
    """A tool is missing or a step has failed; the text is for people."""


def found(name: str) -> str | None:
    """The path of a tool: in the folder K8S_BIN, else on PATH. None: it is not installed."""
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
    """Run to the end and capture. KubernetesError when it lasts longer than `timeout_s`; a failure is the caller's to see."""
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
    """What it wrote to standard output. KubernetesError with what it wrote to standard error when it fails."""
    ended = run(command, text, timeout_s, env)
    if ended.returncode:
        raise KubernetesError(f"{_short(command)} failed:\n{(ended.stderr or ended.stdout).strip()}")
    return ended.stdout


def kubectl(*arguments: str, text: str | None = None, timeout_s: float | None = 120.0) -> str:
    return output(tool("kubectl", *arguments), text, timeout_s)


def kind(*arguments: str, text: str | None = None) -> str:
    return output(tool("kind", *arguments), text)


def docker(*arguments: str, build: bool = False) -> str:
    """`build`: on the daemon that builds images, BUILD_DOCKER_HOST where that is another one than kind's."""
    return output(tool("docker", *arguments), env=building() if build else None)


def building() -> dict[str, str]:
    """The environment of commands for the daemon that builds images."""
    host = os.environ.get("BUILD_DOCKER_HOST")
    return {"DOCKER_HOST": host} if host else {}


def objects(kinds: str, *arguments: str, namespace: str = NAMESPACE) -> list[Object]:
    """Live objects of one or more kinds, comma separated."""
    told = kubectl("get", kinds, "-n", namespace, "-o", "json", *arguments)
    items: list[Object] = json.loads(told)["items"]
    return items


def parsed(manifests: str) -> list[Object]:
    """YAML documents as objects. kubectl reads them, as there is no YAML in Python's standard library."""
    told = kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", text=manifests)
    return list(documents(told))


def documents(text: str) -> Iterator[Object]:
    """JSON documents one behind another; the items of lists one by one."""
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        document, length = decoder.raw_decode(rest)
        at += length
        yield from document["items"] if document["kind"] == "List" else [document]


def as_list(items: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def apply(items: Sequence[Mapping[str, Any]]) -> str:
    """Server-side: the apiserver merges, and an object that is as wished stays as it is."""
    arguments = ["apply", "--server-side", f"--field-manager={MANAGER}", "--force-conflicts", "-f", "-"]
    return kubectl(*arguments, text=as_list(items)) if items else ""


def _short(command: Sequence[str]) -> str:
    name, *rest = command
    return " ".join([Path(name).name, *rest[:4]])
