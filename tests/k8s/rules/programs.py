"""What containers run: a module that the image has, under the image's user, asked whether it is well."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.k8s.manifests import Manifests, Object, Pod, at
from tests.k8s.rules.registry import fault, rule

ROOT: Final = Path(__file__).parents[3]
USER: Final = int(
    re.findall(r"^USER (\d+)$", (ROOT / "infra/docker/Dockerfile").read_text(), re.MULTILINE)[-1]
)
# Its image is for stand-ins: it also has infra and what is installed for development.
NEIGHBOURS: Final = "boxoffice-neighbours"
SHIPPED: Final = ("shared_lib.", "functions.")
SCRIPTS: Final = frozenset(
    path.name for path in (ROOT / "infra/docker").iterdir() if path.suffix == "" and path.is_file()
)
# A relay and a clock listen to nothing and end when they cannot work.
WITHOUT_PROBE: Final = frozenset(("relay", "clock"))


def _ours(container: Object) -> bool:
    return "boxoffice" in str(container.get("image"))


@rule
def commands_are_in_the_image(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        for container in filter(_ours, pod.containers):
            words = [
                str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]
            ]
            if words[:1] in (["sh"], ["/bin/sh"], ["bash"]):
                words = shlex.split(words[-1])
            yield from _modules(pod, container, words)
            for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
                command = at(container, probe, "exec", "command") or []
                if command and command[0] not in SCRIPTS | {"python"}:
                    yield f"{pod.name}: {probe} runs {command[0]}, which the image does not have"


def _modules(pod: Pod, container: Object, words: list[str]) -> Iterator[str]:
    for before, module in pairwise(words):
        if before != "-m":
            continue
        shipped = NEIGHBOURS in str(container["image"]) or module.startswith(SHIPPED)
        try:
            there = find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        if not shipped or not there:
            yield f"{pod.name}: the image has no {module}"


@rule
def our_processes_run_as_the_images_user(manifests: Manifests) -> Iterator[str]:
    """Kubernetes cannot tell whether a user that an image names is root, and refuses the pod; a number it can."""
    for pod in manifests.pods:
        for container in filter(_ours, pod.containers):
            user = at(container, "securityContext", "runAsUser") or at(
                pod.spec, "securityContext", "runAsUser"
            )
            if user not in (None, USER):
                yield f"{pod.name} runs as {user}, and the image belongs to {USER}"


@rule
def what_runs_for_long_is_asked_whether_it_is_ready(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        if pod.owner["kind"] not in ("Deployment", "StatefulSet") or pod.process in WITHOUT_PROBE:
            continue
        for container in pod.spec.get("containers") or []:
            if "readinessProbe" not in container:
                yield f"{pod.name} counts as ready before it is"
            for probe in ("readinessProbe", "livenessProbe"):
                ports = {
                    value
                    for port in container.get("ports") or []
                    for value in (port.get("name"), port.get("containerPort"))
                }
                for kind in ("httpGet", "tcpSocket"):
                    asked = at(container, probe, kind, "port")
                    if asked is not None and asked not in ports:
                        yield f"{pod.name}: {probe} asks port {asked}, where nothing listens"


@rule
def jobs_end(manifests: Manifests) -> Iterator[str]:
    for job in manifests.of("Job", "CronJob"):
        spec: Any = job["spec"] if job["kind"] == "Job" else at(job, "spec", "jobTemplate", "spec")
        name = f"{job['kind']} {job['metadata']['name']}"
        if not spec.get("activeDeadlineSeconds"):
            yield f"{name} may hang without an end"
        if "backoffLimit" not in spec:
            yield f"{name} does not say how often it is tried"
        if job["kind"] == "Job" and "ttlSecondsAfterFinished" in spec:
            yield f"{name} removes itself, and each apply would run it again"


@fault(commands_are_in_the_image, "a module that does not exist", says="no shared_lib.workers.relais")
def _(manifests: Manifests) -> None:
    manifests.pod("relay").containers[-1]["command"] = ["python", "-m", "shared_lib.workers.relais"]


@fault(commands_are_in_the_image, "a module of another image", says="no infra.sandbox")
def _(manifests: Manifests) -> None:
    manifests.pod("migrate").containers[-1]["command"] = ["python", "-m", "infra.sandbox"]


@fault(commands_are_in_the_image, "a probe without curl", says="runs curl")
def _(manifests: Manifests) -> None:
    manifests.pod("trigger").containers[-1]["livenessProbe"] = {"exec": {"command": ["curl", "localhost"]}}


@fault(our_processes_run_as_the_images_user, "another user", says="runs as 999")
def _(manifests: Manifests) -> None:
    manifests.pod("webhook").containers[-1]["securityContext"]["runAsUser"] = 999


@fault(what_runs_for_long_is_asked_whether_it_is_ready, "no probe", says="Deployment trigger counts as ready")
def _(manifests: Manifests) -> None:
    del manifests.pod("trigger").containers[-1]["readinessProbe"]


@fault(what_runs_for_long_is_asked_whether_it_is_ready, "another port", says="asks port 9999")
def _(manifests: Manifests) -> None:
    manifests.pod("gateway").containers[-1]["livenessProbe"] = {"httpGet": {"path": "/livez", "port": 9999}}


@fault(jobs_end, "no deadline", says="Job migrate may hang")
def _(manifests: Manifests) -> None:
    del manifests.one("Job", "migrate")["spec"]["activeDeadlineSeconds"]


@fault(jobs_end, "gone when it is done", says="would run it again")
def _(manifests: Manifests) -> None:
    manifests.one("Job", "migrate")["spec"]["ttlSecondsAfterFinished"] = 60


@fault(jobs_end, "tried as often as Kubernetes likes", says="how often")
def _(manifests: Manifests) -> None:
    del manifests.one("Job", "roles")["spec"]["backoffLimit"]
