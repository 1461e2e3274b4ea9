"""make up_all: build, start, wait until everything is healthy, print the address and the first commands."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from infra.compose.docker import ROOT, DockerError, compose, compose_command, containers, docker
from infra.compose.env_files import FOLDER, KEPT, make
from infra.local.console import Console
from infra.local.progress import Progress
from shared_lib.visible import say

HEALTHY_TIMEOUT_S: Final = 300.0
POLL_S: Final = 1.0
TOKEN_TTL_S: Final = 12 * 3600
CUSTOMER, OPERATOR = "ann", "olga"
# Runs inside the container of the Auth stand-in, which is not published.
_ASKING: Final = """
import json, sys, urllib.request as r
wanted = r.Request("http://127.0.0.1:8080/token", sys.argv[1].encode(), {"content-type": "application/json"})
print(json.load(r.urlopen(wanted, timeout=10))["access_token"])
"""


def up() -> None:
    """Start everything. DockerError names the container that is not healthy, with the end of its log."""
    began = time.monotonic()
    if make() and _has_old_database():
        raise DockerError(
            "The secrets in .local/compose are new, but a database made with older ones is still here."
            "\nDelete it with `make down_all ARGS=-v`, or restore the old files."
        )
    say("Building and starting; the first time takes some minutes ...")
    compose("build")
    compose("up", "-d", "--remove-orphans")
    wait(HEALTHY_TIMEOUT_S)
    _welcome(time.monotonic() - began)


def is_running() -> bool:
    """Whether a container of the stack runs. DockerError when Docker does not answer."""
    if not (FOLDER / KEPT).exists():  # it was never started
        compose_command()
        return False
    return any(one["State"]["Running"] for one in containers().values())


def need_running() -> None:
    """DockerError when the stack does not run."""
    if not is_running():
        raise DockerError("No stack runs in containers. Start it: make up_all")


def running_id(service: str) -> str:
    """The id of the service's container. DockerError when that does not run."""
    found = containers().get(service)
    if not (found and found["State"]["Running"]):
        raise DockerError(f"The container of {service} does not run. Start it: make up_all")
    return str(found["Id"])


def wait(timeout_s: float) -> None:
    """Return when every container is healthy and every job has succeeded."""
    deadline = time.monotonic() + timeout_s
    with Progress(Console(ROOT), "Waiting") as progress:
        while troubled := troubles(containers()):
            progress.step(f"for {', '.join(sorted(troubled))}")
            failed = [name for name, why in troubled.items() if why.startswith("failed")]
            if failed or time.monotonic() > deadline:
                name = (failed or list(troubled))[0]
                log = compose("logs", "--no-color", "--tail=15", name, capture=True)
                states = ", ".join(f"{name} ({why})" for name, why in troubled.items())
                raise DockerError(f"Not everything came up: {states}\n\nThe end of the log of {name}:\n{log}")
            time.sleep(POLL_S)


def troubles(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The containers that are not healthy yet, and why. A job (it is not restarted) is healthy when it has ended with 0."""
    states = {name: _trouble(one) for name, one in found.items()}
    return {name: why for name, why in states.items() if why}


def _trouble(one: dict[str, Any]) -> str:
    state, is_job = one["State"], one["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    if is_job:
        if state["Status"] == "exited":
            return f"failed with {state['ExitCode']}" if state["ExitCode"] else ""
        return "still working"
    if state["Status"] != "running":
        return str(state["Status"])
    health = state.get("Health", {}).get("Status", "healthy")
    return "" if health == "healthy" else str(health)


def token(customer: str, *scopes: str) -> str:
    """A token of the Auth stand-in."""
    return docker("exec", running_id("auth"), *asking_for_token(customer, *scopes)).strip()


def asking_for_token(customer: str, *scopes: str) -> list[str]:
    """The command that prints a token, to be run where the Auth stand-in runs."""
    wanted = {
        "sub": customer,
        "scopes": list(scopes),
        "email": f"{customer}@example.com",
        "ttl_s": TOKEN_TTL_S,
    }
    return ["python", "-c", _ASKING, json.dumps(wanted)]


def address() -> str:
    """The address at which NGINX is published."""
    return f"http://127.0.0.1:{os.environ.get('BOXOFFICE_PORT') or 8080}"


def _has_old_database() -> bool:
    volumes = docker("volume", "ls", "-q", "--filter", "label=com.docker.compose.volume=postgres").split()
    project = docker(
        "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={_project()}"
    ).split()
    return bool(set(volumes) & set(project))


def _project() -> str:
    """The project name of Compose: COMPOSE_PROJECT_NAME, or the name of the folder."""
    return os.environ.get("COMPOSE_PROJECT_NAME") or ROOT.name.lower()


def _welcome(took_s: float) -> None:
    keep_tokens(FOLDER, token)
    say(welcome(address(), FOLDER, took_s, "compose", "make down_all"))


def keep_tokens(folder: Path, make: Callable[[str, str], str]) -> None:
    """Write tokens of a customer and an operator to files: they are too long to type."""
    for name, scope in ((CUSTOMER, "billing:customer"), (OPERATOR, "billing:operator")):
        path = folder / f"{name}.token"
        path.touch(0o600)
        path.write_text(make(name, scope))


def welcome(here: str, folder: Path, took_s: float, target: str, end: str) -> str:
    """The address and the first commands."""
    kept = folder.relative_to(ROOT)
    another = "make token CUSTOMER=bob" + ("" if target == "compose" else f" TARGET={target}")
    return f"""
Everything is healthy after {took_s:.0f} s: {here}

A first order; open its checkout_url in a browser and pay with 4242 4242 4242 4242:
curl -s {here}/v1/orders -H "Authorization: Bearer $(cat {kept}/{CUSTOMER}.token)" \\
  -H "Idempotency-Key: $(date +%s%N)" -H 'Content-Type: application/json' \\
  -d '{{"price_id": "prc_metropolis_buy", "return_url": "{here}/thanks"}}'
curl -s {here}/v1/orders -H "Authorization: Bearer $(cat {kept}/{CUSTOMER}.token)"

The tokens in {kept}/*.token ({CUSTOMER} is a customer, {OPERATOR} an operator) are valid for 12 hours.
Another token: {another}
The whole story: make demo TARGET={target}    What happens: make logs TARGET={target}    The end: {end}"""
