"""Stage 2: Knative Serving, with Kourier as its ingress. An installed platform is kept as it is.

A cluster may have its own Serving: a company's, or one built from source where nothing can be downloaded.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from infra.kubernetes.commands import (
    FOLDER,
    KUBECONFIG,
    NAMESPACE,
    KubernetesError,
    Object,
    kubectl,
    objects,
    run,
    tool,
)
from infra.kubernetes.needs import need, pin
from infra.kubernetes.reasons import reasons
from shared_lib.visible import say

SERVING: Final = "knative-serving"
KOURIER: Final = "kourier-system"
KOURIER_CLASS: Final = "kourier.ingress.networking.knative.dev"
AVAILABLE_S: Final = 240
FETCH_S: Final = 8.0
_RELEASES: Final = "https://github.com/knative/serving/releases/download/knative-v{serving}"
_KOURIER: Final = (
    "https://github.com/knative-extensions/net-kourier/releases/download/knative-v{kourier}/kourier.yaml"
)


def knative() -> None:
    """Install Serving and its ingress and wait until they are available. KubernetesError names the part that is not, and why."""
    need("kubectl")
    need_cluster()
    if _deployments(SERVING):
        _available(SERVING)
        say(f"Knative Serving{_version()} is there and available, ingress {ingress_class()}: kept.")
        return
    serving, kourier = pin("KNATIVE_SERVING").removeprefix("v"), pin("KOURIER").removeprefix("v")
    base = _RELEASES.format(serving=serving)
    folder = FOLDER / "platform" / f"{serving}-{kourier}"
    urls = [f"{base}/serving-crds.yaml", f"{base}/serving-core.yaml", _KOURIER.format(kourier=kourier)]
    crds, core, ingress = [_fetched(url, folder) for url in urls]
    say(f"Installing Knative Serving {serving} and Kourier {kourier} ...")
    _apply(crds)
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    _apply(core)
    _apply(ingress)
    _use_kourier()
    _available(SERVING)
    _available(KOURIER)
    say(f"Knative Serving {serving} is available, ingress {KOURIER_CLASS}.")


def need_cluster(otherwise: str = "make kind_cluster") -> None:
    """KubernetesError, with the command that helps, when no cluster answers."""
    if (
        not KUBECONFIG.exists()
        or run(tool("kubectl", "get", "--raw", "/readyz", "--request-timeout=8s")).returncode
    ):
        raise KubernetesError(f"No cluster answers. Start it: {otherwise}")


def need_boxoffice() -> None:
    """KubernetesError when the cluster has no Boxoffice."""
    if not kubectl("get", "deployments", "-n", NAMESPACE, "-o", "name").strip():
        raise KubernetesError("No Boxoffice runs in the cluster. Start it: make kind_up")


def ingress_class() -> str:
    """The ingress class of Serving; it determines which pods may call doors."""
    found = run(tool("kubectl", "get", "configmap", "config-network", "-n", SERVING, "-o", "json"))
    data = json.loads(found.stdout).get("data", {}) if not found.returncode else {}
    return str(data.get("ingress-class", KOURIER_CLASS))


def _use_kourier() -> None:
    """Doors are called by their names inside the cluster, by our gateway too, so the ingress is not published."""
    _merge("config-network", {"ingress-class": KOURIER_CLASS})
    _merge("config-domain", {"boxoffice.test": ""})


def _merge(name: str, data: dict[str, str]) -> None:
    kubectl("patch", "configmap", name, "-n", SERVING, "--type=merge", "-p", json.dumps({"data": data}))


def _deployments(namespace: str) -> list[Object]:
    return objects("deployments", namespace=namespace)


def _version() -> str:
    labels = {
        one["metadata"].get("labels", {}).get("app.kubernetes.io/version") for one in _deployments(SERVING)
    }
    return " " + "/".join(sorted(filter(None, labels))) if any(labels) else ""


def _available(namespace: str) -> None:
    arguments = ["wait", "-n", namespace, "--for=condition=Available", "deployment", "--all"]
    ended = run(tool("kubectl", *arguments, f"--timeout={AVAILABLE_S}s"))
    if ended.returncode:
        why = "\n".join(reasons(objects("pods", namespace=namespace))) or ended.stderr.strip()
        raise KubernetesError(f"Not everything in {namespace} became available:\n{why}")


def _apply(file: Path) -> None:
    """Apply a file; once more after Serving is available, because its admission webhook may still be starting."""
    arguments = ["apply", "--server-side", "--force-conflicts", "-f", str(file)]
    if run(tool("kubectl", *arguments)).returncode:
        kubectl(
            "wait",
            "-n",
            SERVING,
            "--for=condition=Available",
            "deployment",
            "--all",
            "--timeout=180s",
            timeout_s=200,
        )
        kubectl(*arguments)


def _fetched(url: str, folder: Path) -> Path:
    """The path of a release's file, downloaded on first use."""
    file = folder / url.rpartition("/")[2]
    if file.exists():
        return file
    draft = file.with_suffix(".draft")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310  # https, above
            folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as target:
                shutil.copyfileobj(answer, target)
    except (urllib.error.URLError, OSError) as error:
        raise KubernetesError(
            f"{url} cannot be fetched: {error}\n"
            "Install Knative Serving and an ingress yourself: what is there and available is kept."
        ) from error
    draft.replace(file)
    return file
