"""Stage 4: secrets, manifests, jobs in their order; then wait, and explain what does not become ready."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from infra.compose.up import asking_for_token, keep_tokens, welcome
from infra.kubernetes.cluster import address
from infra.kubernetes.cluster_secrets import secrets
from infra.kubernetes.commands import (
    FOLDER,
    MANAGER,
    NAMESPACE,
    KubernetesError,
    Object,
    apply,
    as_list,
    kubectl,
    objects,
    output,
    run,
    tool,
)
from infra.kubernetes.images import built
from infra.kubernetes.knative import need_cluster
from infra.kubernetes.needs import need
from infra.kubernetes.reasons import crashing, hopeless, is_given_up, reasons, serves
from infra.kubernetes.render import in_order, rendered
from shared_lib.visible import say

READY_S: Final = 300.0
# A state that waiting does not change may still pass during startup: a late secret, a store that is not running yet.
HOPELESS_S: Final = 45.0
ANSWERS_S: Final = 30.0
POLL_S: Final = 1.0
_LOG_LINES: Final = 12
_DOORS: Final = "services.serving.knative.dev"
_LOOKED_AT: Final = f"pods,jobs,deployments,statefulsets,{_DOORS}"
_LOOKED_AT_IN_TROUBLE: Final = f"pods,jobs,{_DOORS},revisions.serving.knative.dev"


def deploy() -> None:
    """Deploy the overlay and wait until it is ready. KubernetesError names what is not, with the reasons of its pods."""
    need("kubectl")
    need_cluster()
    wanted = rendered(built())
    first, jobs, later = in_order(wanted)
    kept = secrets()
    if _has_other_database(kept):
        raise KubernetesError(
            "The secrets in .local/kind are not those that the cluster's database was made with."
            "\nDelete it with `make kind_down`, or restore the old files."
        )
    apply([one for one in first if one["kind"] == "Namespace"])
    apply(kept)
    apply(first)
    say("Waiting for the stores ...")
    wait(_names(first))
    for job in jobs:
        name = job["metadata"]["name"]
        say(f"Job {name} ...")
        _run_job(job)
        wait({name})
    apply(later)
    _try_again(objects(_DOORS))
    say("Waiting for doors, workers and the gateway ...")
    wait(_names(wanted))
    _say_differences([*wanted, *kept])


def greet(took_s: float) -> None:
    """Print the address and write tokens to files."""
    keep_tokens(FOLDER, token)
    _answers()
    say(welcome(address(), FOLDER, took_s, "kind", "make kind_down"))


def token(customer: str, *scopes: str) -> str:
    """A token of the Auth stand-in."""
    return kubectl("exec", "-n", NAMESPACE, "deploy/auth", "--", *asking_for_token(customer, *scopes)).strip()


def differences(items: Sequence[Object]) -> str:
    """The output of `kubectl diff` for these objects; empty when nothing would change."""
    arguments = ["diff", "--server-side", f"--field-manager={MANAGER}", "--force-conflicts", "-f", "-"]
    ended = run(tool("kubectl", *arguments), as_list(items))
    if ended.returncode > 1:
        raise KubernetesError(f"kubectl diff failed: {ended.stderr.strip()}")
    return ended.stdout


def say_differences() -> bool:
    """`kubectl diff` of the whole overlay; True when it is empty."""
    need_cluster()
    return _say_differences([*rendered(built()), *secrets()])


def wait(names: Collection[str], timeout_s: float = READY_S) -> None:
    """Return when all of these are ready. KubernetesError after `timeout_s`, or earlier when waiting does not help."""
    deadline, hopeless_since = time.monotonic() + timeout_s, 0.0
    while troubled := troubles(found := objects(_LOOKED_AT), names):
        now = time.monotonic()
        is_hopeless = bool(hopeless(found))
        hopeless_since = (hopeless_since or now) if is_hopeless else 0.0
        failed = {_name(one) for one in found if one["kind"] == "Job"} & hopeless(found) & set(names)
        if failed or now > deadline or (is_hopeless and now - hopeless_since > HOPELESS_S):
            raise KubernetesError(f"Not everything came up: {_listed(troubled)}\n{explanation()}")
        time.sleep(POLL_S)


def troubles(found: Iterable[Object], names: Collection[str]) -> dict[str, str]:
    """The named objects that are not ready yet, and their state."""
    seen = {_name(one): _trouble(one) for one in found if one["kind"] != "Pod" and _name(one) in names}
    missing = {name: "does not exist" for name in names if name not in seen}
    return missing | {name: why for name, why in seen.items() if why}


def explanation() -> str:
    """Why pods do not run: the conditions that Kubernetes and Knative report, and the end of the logs of ended containers."""
    found = objects(_LOOKED_AT_IN_TROUBLE)
    lines = reasons(found) or ["No pod gives a reason."]
    for pod, container in dict.fromkeys(crashing(found)):
        for previous in (["--previous"], []):
            arguments = ["logs", pod, "-n", NAMESPACE, "-c", container, f"--tail={_LOG_LINES}", *previous]
            ended = run(tool("kubectl", *arguments), timeout_s=20)
            if not ended.returncode and ended.stdout.strip():
                lines.append(f"\nThe end of the log of {pod} ({container}):\n{ended.stdout.rstrip()}")
                break
    return "\n".join(lines)


def _trouble(one: Object) -> str:
    status, wanted = one.get("status", {}), one.get("spec", {}).get("replicas", 1)
    behind = status.get("observedGeneration", 0) < one["metadata"].get("generation", 0)
    match one["kind"]:
        case "Job":
            done = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
            return "" if "Complete" in done else "failed" if "Failed" in done else "still working"
        case "Deployment":
            ready = min(status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
            is_done = not behind and ready >= wanted and status.get("replicas", 0) == wanted
        case "StatefulSet":
            ready = status.get("readyReplicas", 0)
            is_done = (
                not behind
                and ready >= wanted
                and status.get("currentRevision") == status.get("updateRevision")
            )
        case _:  # Knative's Service
            ready_condition = {c["type"]: c for c in status.get("conditions", [])}.get("Ready", {})
            is_done = not behind and (ready_condition.get("status") == "True" or serves(one))
            return (
                ""
                if is_done
                else f"not ready ({ready_condition.get('reason') or ready_condition.get('status') or 'new'})"
            )
    return "" if is_done else f"{ready} of {wanted} ready"


def _run_job(job: Object) -> None:
    """Run a job, unless the same job has succeeded. A job's template cannot be changed, so another image needs a new job."""
    name = _name(job)
    there = {_name(one): one for one in objects("jobs")}.get(name)
    if there and (_trouble(there) == "failed" or not _is_same(job)):
        kubectl("delete", "job", name, "-n", NAMESPACE, "--wait=true")
    apply([job])


def _is_same(job: Object) -> bool:
    arguments = [
        "apply",
        "--server-side",
        f"--field-manager={MANAGER}",
        "--force-conflicts",
        "--dry-run=server",
    ]
    return not run(tool("kubectl", *arguments, "-f", "-"), json.dumps(job)).returncode


def _try_again(services: Iterable[Object]) -> None:
    """Delete revisions that Knative has given up; Knative creates them again.

    It never retries a failed revision, although the cause may have passed: an image loaded since, a machine that slept.
    """
    for service in services:
        if is_given_up(service) and not serves(service):
            revision = service["status"].get("latestCreatedRevisionName")
            say(f"Trying {_name(service)} again: Knative has given up {revision}.")
            arguments = ["revision.serving.knative.dev", str(revision), "-n", NAMESPACE, "--ignore-not-found"]
            kubectl("delete", *arguments)


def _say_differences(items: Sequence[Object]) -> bool:
    found = differences(items)
    say(f"kubectl diff:\n{found}" if found else f"kubectl diff of {len(items)} objects is empty.")
    return not found


def _answers() -> None:
    deadline = time.monotonic() + ANSWERS_S
    while True:
        try:
            with urllib.request.urlopen(f"{address()}/livez", timeout=3):  # noqa: S310  # http, loopback
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise KubernetesError(
                    f"Everything is ready, but the gateway does not answer at {address()}: {error}"
                ) from error
        time.sleep(POLL_S)


def _has_other_database(kept: Sequence[Object]) -> bool:
    """Whether the cluster's database was made with another password; it accepts only that one."""
    arguments = ["get", "secret", "postgres", "-n", NAMESPACE, "-o", "json", "--ignore-not-found"]
    there = output(tool("kubectl", *arguments))
    ours = next(one["data"] for one in kept if _name(one) == "postgres")
    return bool(there) and json.loads(there)["data"] != ours


def _names(items: Iterable[Object]) -> set[str]:
    return {_name(one) for one in items if "template" in one.get("spec", {})}


def _listed(troubled: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in sorted(troubled.items()))


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])
