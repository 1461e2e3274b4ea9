"""What tests/k8s need of the machine: kubectl, and an apiserver. Missing ones are named within seconds.

K8S_BIN         folder with kubectl; without it, kubectl of PATH
K8S_KUBECONFIG  an apiserver that is there already, with Knative Serving's webhook and every CRD. The tests make namespaces
                of their own in it, which they delete; everything else is asked as a dry run.
K8S_TOOLS       or: folder of scripts that build and start one (tools.sh, control-plane.sh, knative.sh, down.sh)
K8S_CRDS        and: folder of the CRDs that it is given, one sub-folder for each operator
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / ".ci" / "k8s-tools"
BUILD_TIMEOUT_S: Final = 1800.0


class ToolsError(RuntimeError):
    """What is missing, and how to give it."""


def kubectl_file(environment: Mapping[str, str] = os.environ) -> str | None:
    """kubectl of K8S_BIN, of the built tools when their folder is known, or of PATH."""
    folders = [environment["K8S_BIN"]] if environment.get("K8S_BIN") else []
    if environment.get("BOX_TOOLS"):
        folders.append(f"{environment['BOX_TOOLS']}/bin")
    return next(filter(None, (shutil.which("kubectl", path=folder) for folder in folders)), None) or (
        None if environment.get("K8S_BIN") else shutil.which("kubectl", path=environment.get("PATH"))
    )


def missing(environment: Mapping[str, str] = os.environ, *, apiserver: bool) -> list[str]:
    """A sentence for each thing that is missing. Looks at files only."""
    found = []
    given, scripts, crds = (environment.get(name, "") for name in ("K8S_KUBECONFIG", "K8S_TOOLS", "K8S_CRDS"))
    if not kubectl_file(environment) and not scripts:
        found.append("kubectl is not on PATH; K8S_BIN may name the folder it is in.")
    if not apiserver:
        return found
    if not given and not scripts:
        found.append(
            "There is no apiserver: K8S_KUBECONFIG=FILE names one that is there already, or K8S_TOOLS=FOLDER and "
            "K8S_CRDS=FOLDER say how to start one (tests/k8s/tools.py)."
        )
    if given and not Path(given).is_file():
        found.append(f"{given}, which K8S_KUBECONFIG names, is not a file.")
    if scripts and not given:
        if not Path(scripts, "control-plane.sh").is_file():
            found.append(f"{scripts}, which K8S_TOOLS names, has no control-plane.sh.")
        if not crds:
            found.append("K8S_TOOLS also needs K8S_CRDS, the folder of the CRDs.")
        elif not any(Path(crds).glob("*/*.yaml")):
            found.append(f"{crds}, which K8S_CRDS names, has no sub-folder with CRDs.")
        found += [
            f"{tool} is not on PATH: the scripts in K8S_TOOLS need it."
            for tool in ("go", "ip", "nsenter", "openssl")
            if shutil.which(tool, path=environment.get("PATH")) is None
        ]
    return found


@cache
def built(scripts: str) -> Path:
    """The folder of built tools; builds what is missing, which takes minutes. Raises ToolsError."""
    try:
        made = subprocess.run(
            [BUILD],
            env={**os.environ, "K8S_TOOLS": scripts},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        text = error.stderr if isinstance(error.stderr, str) else str(error)
        raise ToolsError(f"The tools of K8S_TOOLS could not be built:\n{text[-4000:]}") from error
    return Path(made.stdout.splitlines()[-1])
