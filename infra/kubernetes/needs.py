"""Check the tools that the stages need before a stage begins, so that a missing one is reported within seconds."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Final

from infra.kubernetes.commands import ROOT, KubernetesError, environment, found, run, tool
from shared_lib.visible import say

PINS: Final = ROOT / "k8s" / "versions.env"
DOCKER_ANSWERS_S: Final = 5.0
# How long a registry may take to answer; the download itself has no limit.
REGISTRY_ANSWERS_S: Final = 4.0
_WHERE: Final = {
    "docker": "https://docs.docker.com/get-started/get-docker/",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}
_ALTERNATIVE: Final = (
    "Without Kubernetes, `make up_all` (Docker) or `make up` (nothing) start a whole Boxoffice."
)


def need(*names: str) -> None:
    """KubernetesError that names every tool that is missing, and Docker when it does not answer."""
    lacking = [f"{name} is not installed: {_WHERE[name]}" for name in names if found(name) is None]
    if "docker" in names and found("docker") and not _docker_answers():
        lacking.append("Docker does not answer. Is its daemon running, and may you use it? Try: docker info")
    if lacking:
        raise KubernetesError("\n".join([*lacking, _ALTERNATIVE]))


def need_image(image: str) -> None:
    """Pull the image unless kind's Docker has it. KubernetesError within seconds when no registry has it: `kind create cluster`
    would report that only after two minutes.
    """
    if not run(tool("docker", "image", "inspect", image)).returncode:
        return
    say(f"Pulling {image} ...")
    pulling = subprocess.Popen(
        tool("docker", "pull", image),
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert pulling.stdout
    assert pulling.stderr
    # The first line appears when the registry has answered; without a connection there is none for minutes.
    timer = threading.Timer(REGISTRY_ANSWERS_S, pulling.kill)
    timer.start()
    first = pulling.stdout.readline()
    timer.cancel()
    if not first:
        pulling.wait()
        why = pulling.stderr.read().strip() or f"no registry answered within {REGISTRY_ANSWERS_S:.0f} s"
        raise KubernetesError(
            f"The node image {image} is not on this machine and cannot be pulled: {why}\n"
            "Without access to a registry, name an image of this machine: KIND_NODE_IMAGE=... make kind_up"
        )
    pulling.stdout.read()
    if pulling.wait():
        raise KubernetesError(f"Pulling {image} failed: {pulling.stderr.read().strip()}")


def pin(name: str) -> str:
    """A version or image of k8s/versions.env; an environment variable of the same name overrides it."""
    if chosen := os.environ.get(name):
        return chosen
    for line in PINS.read_text().splitlines():
        key, _, value = line.partition("#")[0].partition("=")
        if key.strip() == name:
            return value.strip()
    raise KubernetesError(f"{name} is not in {PINS.relative_to(ROOT)}.")


def _docker_answers() -> bool:
    try:
        return not run(tool("docker", "version"), timeout_s=DOCKER_ANSWERS_S).returncode
    except KubernetesError:
        return False
