"""A cluster of this run's own, started by the scripts in K8S_TOOLS: kubelet, kube-proxy and Knative Serving are real.

Its state folder and its network belong to this run alone, and both are gone at its end. Nothing in it can be reached from
outside the network, so every command about it is run inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.kubectl import Kubectl
from tests.cluster.needs import Given, MissingError
from tests.cluster.watch import Watch

ROOT: Final = Path(__file__).parents[2]
OVERLAY: Final = ROOT / "k8s" / "overlays" / "kind"
DOCKERFILE: Final = ROOT / "infra" / "docker" / "Dockerfile"
OURS: Final = {"boxoffice": "dev.local/boxoffice:local", "neighbours": "dev.local/boxoffice-neighbours:local"}
TOOLS: Final = ("etcd", "kubernetes", "node", "knative")
NODE_IP: Final = "10.92.0.1"  # in a network of its own: it meets no other
BUILD_S, START_S, END_S = 3600, 600, 300
LOG_LINES: Final = 40


@contextmanager
def started(given: Given, watch: Watch) -> Iterator[Kubectl]:
    """A cluster with Knative Serving and our images in its node; ended at the end, however that comes."""
    assert given.scripts
    run = _Run(given.scripts, _tools(given.scripts))
    try:
        with watch.measured("tools built or found"):
            run.script("tools.sh", *TOOLS, within_s=BUILD_S)
        # The node is this machine, so its folder for the stores' data is one that ends with the run.
        data = run.state / "data"
        data.mkdir()
        kubectl = Kubectl(
            run.tools / "bin" / "kubectl", run.kubeconfig, run.inside, K8S_NODE_FOLDER=str(data)
        )
        with watch.measured("images built and saved"):
            archives = _archives(given.images, run.state, run.tools / "bin" / "kubectl")
        with watch.measured("apiserver, controllers and scheduler"):
            run.script("control-plane.sh", "full")
        with watch.measured("node with its images"):
            run.script("node.sh", *map(str, archives))
        for archive in archives:
            if archive.is_relative_to(run.state):
                archive.unlink()  # two gigabytes that the node has now
        with watch.measured("Knative Serving"):
            run.script("knative.sh", "install")
        yield kubectl
    finally:
        with watch.measured("cluster ended"):
            run.end()


class _Run:
    """The scripts with the variables of one run."""

    def __init__(self, scripts: Path, tools: Path) -> None:
        self._scripts, self.tools = scripts, tools
        # Not pytest's folder: paths of sockets must be short, and servers of other users look into it.
        self.state = Path(tempfile.mkdtemp(prefix="boxoffice-cluster-"))
        self.state.chmod(0o755)
        network = f"box{os.getpid()}"
        self.inside = ("nsenter", f"--net=/run/netns/{network}")
        self.kubeconfig = self.state / "kubeconfig"
        self._variables = {
            "BOX_TOOLS": str(tools),
            "BOX_STATE": str(self.state),
            "BOX_NETNS": network,
            "BOX_NODE_IP": NODE_IP,
        }

    def script(self, name: str, *arguments: str, within_s: float = START_S) -> None:
        """RuntimeError with the end of what it wrote when it fails."""
        # To a file: what it starts keeps its output open, and a pipe would never come to its end.
        log = self.state / f"{name}.out"
        with log.open("w") as file:
            ended = subprocess.run(
                [str(self._scripts / name), *arguments],
                env=os.environ | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=within_s,
                check=False,
            )
        if ended.returncode:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise RuntimeError(f"{name} failed with {ended.returncode}:\n{said}")

    def end(self) -> None:
        """Every process, mount and network of the run."""
        with tempfile.TemporaryFile() as said:  # its own folder is about to go
            ended = subprocess.run(
                [str(self._scripts / "down.sh")],
                env=os.environ | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=END_S,
                check=False,
            )
            said.seek(0)
            assert ended.returncode == 0, said.read().decode(errors="replace")
        shutil.rmtree(self.state, ignore_errors=True)


def _tools(scripts: Path) -> Path:
    """Where built tools are kept: BOX_TOOLS, or where the scripts keep them."""
    named = os.environ.get("BOX_TOOLS")
    found = subprocess.run(
        [
            "bash",
            "-c",
            'BOX_STATE=$(mktemp -d) && . "$0/lib.sh" && echo "$BOX_TOOLS" && rm -r "$BOX_STATE"',
            str(scripts),
        ],
        env=os.environ | ({"BOX_TOOLS": named} if named else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(found.stdout.strip())


def _archives(images: Path | None, state: Path, kubectl: Path) -> list[Path]:
    """Every image of the overlay: from the folder that was given, or built and saved by docker."""
    if images:
        return sorted(images.glob("*.tar"))
    flags = os.environ.get("BUILD_FLAGS", "").split()
    for target, name in OURS.items():
        _docker("build", "-q", "-f", str(DOCKERFILE), "--target", target, "-t", name, *flags, str(ROOT))
    wanted = _images_of_overlay(kubectl)
    if lacking := [name for name in wanted if not _has(name)]:
        raise MissingError(f"docker has no {', '.join(lacking)}: pull or build them, or give K8S_IMAGES.")
    archive = state / "images.tar"
    _docker("save", "-o", str(archive), *wanted)
    return [archive]


def _images_of_overlay(kubectl: Path) -> list[str]:
    rendered = subprocess.run(
        [str(kubectl), "kustomize", str(OVERLAY)], capture_output=True, text=True, check=True
    ).stdout
    found = {
        line.split("image:", 1)[1].strip().strip("'\"")
        for line in rendered.splitlines()
        if line.strip().removeprefix("- ").startswith("image:")
    }
    return sorted(found | set(OURS.values()))


def _has(image: str) -> bool:
    return not subprocess.run(
        ["docker", "image", "inspect", image], capture_output=True, check=False
    ).returncode


def _docker(*arguments: str) -> None:
    ended = subprocess.run(
        ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"docker {' '.join(arguments[:4])} failed:\n{ended.stderr[-2000:]}")
