"""Stage 1: a kind cluster with one node. The gateway's node port is published on this machine's loopback."""

from __future__ import annotations

import json
import os
from typing import Final

from infra.kubernetes.commands import (
    CLUSTER,
    FOLDER,
    KUBECONFIG,
    NODE,
    KubernetesError,
    docker,
    kind,
    kubectl,
    run,
    tool,
)
from infra.kubernetes.needs import need, need_image, pin
from shared_lib.visible import say

GATEWAY_NODE_PORT: Final = 31081
CREATING_S: Final = 240
ANSWERS_S: Final = 60


def address() -> str:
    """The address at which the gateway is published."""
    return f"http://127.0.0.1:{port()}"


def port() -> int:
    return int(os.environ.get("BOXOFFICE_PORT") or 8080)


def cluster() -> None:
    """Create or wake the cluster, and write a kubeconfig of its own."""
    need("docker", "kind", "kubectl")
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    if CLUSTER in kind("get", "clusters").split():
        _wake()
        kind("export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", str(KUBECONFIG))
        _answers()
        say(f"The cluster {CLUSTER} exists: kept.")
        return
    image = pin("KIND_NODE_IMAGE")
    need_image(image)
    say(f"Creating the cluster {CLUSTER} of {image} ...")
    flags = ["--name", CLUSTER, "--image", image, "--kubeconfig", str(KUBECONFIG), "--wait", f"{CREATING_S}s"]
    kind("create", "cluster", *flags, "--config", "-", text=_config())
    _answers()


def down() -> None:
    """Delete the cluster and its data; the secrets in .local/kind stay."""
    need("docker", "kind")
    kind("delete", "cluster", "--name", CLUSTER, "--kubeconfig", str(KUBECONFIG))
    say(f"The cluster {CLUSTER} is deleted.")


def _config() -> str:
    """The cluster's configuration as JSON, which is YAML too."""
    published = {
        "containerPort": GATEWAY_NODE_PORT,
        "hostPort": port(),
        "listenAddress": "127.0.0.1",
        "protocol": "TCP",
    }
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane", "extraPortMappings": [published]}],
        }
    )


def _wake() -> None:
    """Start the node's container, which has stopped after a restart of the machine."""
    if docker("inspect", "-f", "{{.State.Running}}", NODE).strip() != "true":
        say(f"Starting {NODE} again ...")
        docker("start", NODE)


def _answers() -> None:
    ended = run(tool("kubectl", "wait", "--for=condition=Ready", "node", "--all", f"--timeout={ANSWERS_S}s"))
    if ended.returncode:
        raise KubernetesError(
            f"The node of {CLUSTER} is not Ready: {ended.stderr.strip()}\n{kubectl('get', 'nodes', '-o', 'wide')}"
            "\nStart again with `make kind_down kind_up`."
        )
