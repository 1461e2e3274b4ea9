"""What a run of these tests is given, by variables: a cluster that is there, or the scripts that start one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOW: Final = (
    "make cluster_test needs a cluster that runs pods. Either K8S_KUBECONFIG=FILE of one with Knative Serving and our images"
    " in its nodes, and kubectl on PATH or in K8S_BIN; or K8S_TOOLS=FOLDER of scripts that start one (root, and docker or"
    " K8S_IMAGES=FOLDER of image archives)."
)
DOCKER_ANSWERS_S: Final = 5.0
# What is run in K8S_TOOLS, in this order.
SCRIPTS: Final = ("tools.sh", "control-plane.sh", "node.sh", "knative.sh", "down.sh")


class MissingError(RuntimeError):
    """Something is not there; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """`kubeconfig` of a cluster that is there, or `scripts`: the folder that starts one."""

    kubeconfig: Path | None
    scripts: Path | None
    images: Path | None


def given(environment: Mapping[str, str], *, is_root: bool) -> Given:
    """What the variables name. MissingError that says what is missing, before anything is started."""
    if named := environment.get("K8S_KUBECONFIG"):
        return Given(kubeconfig=_kubeconfig(named, environment), scripts=None, images=None)
    if not (named := environment.get("K8S_TOOLS")):
        raise MissingError(f"Neither K8S_KUBECONFIG nor K8S_TOOLS is set. {HOW}")
    scripts = Path(named)
    if lacking := [name for name in SCRIPTS if not os.access(scripts / name, os.X_OK)]:
        raise MissingError(f"{scripts}, which K8S_TOOLS names, has no {', '.join(lacking)}. {HOW}")
    if not is_root:
        raise MissingError(f"The scripts in K8S_TOOLS need root: they make a network and containers. {HOW}")
    return Given(kubeconfig=None, scripts=scripts, images=_images(environment))


def _kubeconfig(named: str, environment: Mapping[str, str]) -> Path:
    path = Path(named)
    if not path.is_file():
        raise MissingError(f"{path}, which K8S_KUBECONFIG names, is no file. {HOW}")
    if found_tool("kubectl", environment) is None:
        raise MissingError(f"kubectl is neither on PATH nor in K8S_BIN. {HOW}")
    return path


def _images(environment: Mapping[str, str]) -> Path | None:
    """None: docker has them."""
    if named := environment.get("K8S_IMAGES"):
        if not list(Path(named).glob("*.tar")):
            raise MissingError(f"{named}, which K8S_IMAGES names, holds no *.tar. {HOW}")
        return Path(named)
    docker = found_tool("docker", environment)
    if docker is None:
        raise MissingError(f"There is no docker to build the images, and K8S_IMAGES is not set. {HOW}")
    if not _answers(docker, environment):
        raise MissingError(f"Docker does not answer (try: docker info), and K8S_IMAGES is not set. {HOW}")
    return None


def _answers(docker: str, environment: Mapping[str, str]) -> bool:
    asked = [docker, "version"]
    try:
        ended = subprocess.run(
            asked, env=dict(environment), capture_output=True, timeout=DOCKER_ANSWERS_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def found_tool(name: str, environment: Mapping[str, str]) -> str | None:
    """The path of a tool, in K8S_BIN or on PATH."""
    folders = environment.get("K8S_BIN", ""), environment.get("PATH", "")
    return shutil.which(name, path=os.pathsep.join(filter(None, folders)))
