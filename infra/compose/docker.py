"""Docker and Compose as commands: `docker compose`, or docker-compose where the plugin is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = ROOT / "infra" / "docker" / "images.env"
_INSTALL: Final = (
    "Docker is needed: https://docs.docker.com/get-started/get-docker/ (on Debian: apt-get install docker.io"
    " docker-compose).\nWithout it, `make up` and `make demo` start a whole Boxoffice on this machine as well."
)


class DockerError(RuntimeError):
    """Docker is missing or a command failed; the text is for people."""


@lru_cache(maxsize=1)
def compose_command() -> tuple[str, ...]:
    """The command for Compose on this machine. DockerError when there is none, or Docker does not answer."""
    if shutil.which("docker") is None:
        raise DockerError(_INSTALL)
    if _quietly(["docker", "info"]):
        raise DockerError("Docker does not answer: start it, or ask `docker info` why. Then: make up_all")
    if not _quietly(["docker", "compose", "version"]):
        return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise DockerError(f"Docker is here, Compose is not. {_INSTALL}")


def compose(*arguments: str, capture: bool = False) -> str:
    """Run `docker compose ...` on our file. Its output when captured. DockerError when it fails."""
    command = [*compose_command(), *arguments]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=images() | os.environ,
        text=True,
        check=False,
        stdout=subprocess.PIPE if capture else None,
    )
    if run.returncode:
        raise DockerError(f"{' '.join(command)} failed with {run.returncode}")
    return run.stdout or ""


def run(*arguments: str) -> int:
    """`docker compose ...` on this terminal; its exit code. What it says is all there is to say."""
    command = [*compose_command(), *arguments]
    return subprocess.run(command, cwd=ROOT, env=images() | os.environ, check=False).returncode


def images() -> dict[str, str]:
    """Third-party images by variable, from infra/docker/images.env. Environment variables of the same name override them."""
    lines = [line.partition("=") for line in IMAGES.read_text().splitlines() if not line.startswith("#")]
    return {name: image for name, _, image in lines if name}


def docker(*arguments: str) -> str:
    """The output of `docker ...`. DockerError with its standard error when it fails."""
    run = subprocess.run(["docker", *arguments], cwd=ROOT, text=True, capture_output=True, check=False)
    if run.returncode:
        raise DockerError(f"docker {' '.join(arguments)}: {run.stderr.strip()}")
    return run.stdout


def containers() -> dict[str, dict[str, Any]]:
    """The output of `docker inspect` for each container of the stack, by service, including jobs that have ended."""
    ids = (
        compose("ps", "-a", "-q", capture=True).split()
        if _can_list_all()
        else compose("ps", "-q", capture=True).split()
    )
    found = json.loads(docker("inspect", *ids)) if ids else []
    return {
        one["Config"]["Labels"]["com.docker.compose.service"]: one
        for one in found
        if one["Config"]["Labels"].get("com.docker.compose.oneoff", "False") == "False"
    }


def _can_list_all() -> bool:
    """Whether `ps` needs -a to list ended containers; docker-compose 1 lists them always."""
    return compose_command()[0] == "docker"


def _quietly(command: Sequence[str]) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
