"""Stage 3: build our two images, and load them and the third-party images of this machine's Docker into the node.

An image's tag is derived from its id: an unchanged image keeps its name, so nothing in the cluster changes.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import Final

from infra.compose.docker import images as named_images
from infra.kubernetes.commands import (
    CLUSTER,
    FOLDER,
    NODE,
    KubernetesError,
    building,
    docker,
    kind,
    run,
    tool,
)
from infra.kubernetes.needs import need
from shared_lib.visible import say

# Dockerfile target -> image name in the manifests. Knative resolves no names under dev.local at a registry.
OURS: Final = {"boxoffice": "dev.local/boxoffice", "neighbours": "dev.local/boxoffice-neighbours"}
OTHERS: Final = ("NGINX_IMAGE", "POSTGRES_IMAGE", "KAFKA_IMAGE", "REDIS_IMAGE", "MOTO_IMAGE")
BUILT: Final = FOLDER / "images.json"
# The images loaded into a node, by id: a tag such as postgres:17 may name another image later.
LOADED: Final = FOLDER / "loaded.json"
_TAG_LENGTH: Final = 12
_BUILD_ARGUMENTS: Final = ("PYTHON_IMAGE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


def images() -> None:
    """Build and load the images; `built()` returns their tags."""
    need("docker", "kind")
    if CLUSTER not in kind("get", "clusters").split():
        raise KubernetesError(f"There is no cluster {CLUSTER}. First: make kind_cluster")
    tags = {name: _build(target, name) for target, name in OURS.items()}
    names = [f"{name}:{tag}" for name, tag in tags.items()]
    # The node itself pulls images that are pinned by digest or missing on this machine.
    names += [image for image in (named_images()[variable] for variable in OTHERS) if "@" not in image]
    ids = {name: id_ for name in names if (id_ := _id(name))}
    node = docker("inspect", "-f", "{{.Id}}", NODE).strip()
    loaded, there = _loaded(node), _in_node()
    _load([name for name, id_ in ids.items() if name not in there or loaded.get(name) != id_])
    LOADED.write_text(json.dumps({"node": node, "images": loaded | ids}, indent=2) + "\n")
    BUILT.write_text(json.dumps(tags, indent=2) + "\n")


def built() -> dict[str, str]:
    """Tags by image name. KubernetesError when the stage has not run yet.

    Empty for a cluster made outside these stages, which has the images that the overlay names.
    """
    if os.environ.get("K8S_KUBECONFIG"):
        return {}
    if not BUILT.exists():
        raise KubernetesError("No images have been built yet. First: make kind_images")
    tags: dict[str, str] = json.loads(BUILT.read_text())
    return tags


def _build(target: str, name: str) -> str:
    """Build an image and tag it with its id. Returns the tag."""
    environment = named_images() | os.environ
    arguments = [f"--build-arg={key}={environment[key]}" for key in _BUILD_ARGUMENTS if environment.get(key)]
    # BUILD_FLAGS: further options that this machine's Docker needs, such as --network=host.
    flags = shlex.split(os.environ.get("BUILD_FLAGS", ""))
    say(f"Building {name} ...")
    command = ["build", "-q", "-f", "infra/docker/Dockerfile", "--target", target, *arguments, *flags, "."]
    id_ = docker(*command, build=True).strip().removeprefix("sha256:")
    tag = id_[:_TAG_LENGTH]
    docker("tag", id_, f"{name}:{tag}", build=True)
    return tag


def _id(image: str) -> str:
    """The id of an image; empty when the building Docker does not have it."""
    return run(tool("docker", "image", "inspect", "-f", "{{.Id}}", image), env=building()).stdout.strip()


def _loaded(node: str) -> dict[str, str]:
    """Ids of loaded images by name; empty for a node created since."""
    kept = json.loads(LOADED.read_text()) if LOADED.exists() else {}
    images: dict[str, str] = kept.get("images", {}) if kept.get("node") == node else {}
    return images


def _in_node() -> set[str]:
    """Short names of the images in the node."""
    listed = docker("exec", NODE, "crictl", "images", "-o", "json")
    names = [name for one in json.loads(listed)["images"] for name in one["repoTags"]]
    return {name.removeprefix("docker.io/").removeprefix("library/") for name in names}


def _load(names: list[str]) -> None:
    """Load through a file, because the building daemon may not be the one that kind runs on."""
    if not names:
        say("The node has every image: nothing loaded.")
        return
    say(f"Loading {', '.join(names)} ...")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        archive = Path(folder) / "images.tar"
        docker("save", "-o", str(archive), *names, build=True)
        kind("load", "image-archive", str(archive), "--name", CLUSTER)
