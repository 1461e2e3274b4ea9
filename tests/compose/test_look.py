"""`make logs`, `make mails` and `make token` of the stack in containers and of the cluster: as readable as on the local stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.compose import env_files
from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
CALL = {
    "method": "POST", "path": "/v1/orders", "status": 201, "ms": 9.5, "order": "ord_1", "event": "request", "level": "info",
    "timestamp": "2026-11-28T10:00:02.000000Z",
}  # fmt: skip
TICK = {"type": "billing.tick.renewal", "outcome": "done", "event": "event", "level": "info"}
MAIL = "Subject: Receipt: Stalker\nFrom: tickets@cinema.example\nTo: %s@example.com\nDate: Sat, 28 Nov 2026 10:00:00 +0000\n\nThank you, %s.\n"
SENT = {
    "ses": {
        "RawMessage": [
            {"id": name, "destinations": [f"{name}@example.com"], "raw_data": MAIL % (name, name)}
            for name in ("ann", "bob")
        ]
    }
}
CONTAINER = {
    "Id": "c1",
    "State": {"Running": True},
    "Config": {"Labels": {"com.docker.compose.service": "mail"}},
}
RUNNING = json.dumps([CONTAINER])
SHOWN = "10:00:02 create-order POST /v1/orders 201 in 9.5 ms  order=ord_1\n"


class Machine:
    """docker and kubectl that answer as those of a running stack; kept secrets say that it was started once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kubeconfig").touch()

    def has(self, name: str, script: str, **files: str) -> None:
        for file, text in files.items():
            (self.folder / file).write_text(text)
        path = self.folder / name
        path.write_text(f"#!/bin/bash\ncd {self.folder}\n{script}\n")
        path.chmod(0o755)

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Without site-packages: these commands promise to need the standard library alone."""
        own = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "K8S_BIN": "",
            "K8S_KUBECONFIG": str(self.folder / "kubeconfig"),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            [sys.executable, "-S", "-m", module, *arguments],
            cwd=ROOT, env=os.environ | own, text=True, capture_output=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip


@pytest.fixture(params=["compose", "kubernetes"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Machine, str]]:
    machine, module = Machine(tmp_path), f"infra.{request.param}"
    pod = "[pod/create-order-00001-deployment-6c9f8b7d5-x2x9q/door]"
    machine.has(
        "kubectl",
        'case "$1" in logs) cat logs.kind;; exec) cat sent;; get) echo deployment.apps/relay;; esac',
        **{
            "logs.kind": f"{pod} {json.dumps(TICK)}\n{pod} {json.dumps(CALL)}\n[pod/postgres-0/postgres] ready\n"
        },
    )
    machine.has(
        "docker",
        'case "$*" in "compose logs"*) cat logs.compose;; exec*) cat sent;; inspect*) cat running;; "compose ps"*) echo c1;; esac',
        sent=json.dumps(SENT),
        running=RUNNING,
        **{
            "logs.compose": f"Attaching to boxoffice_create-order_1\ncreate-order-1  | {json.dumps(TICK)}\n"
            f"create-order-1  | {json.dumps(CALL)}\npostgres-1      | ready\n"
        },
    )
    kept = env_files.FOLDER / env_files.KEPT
    if kept.exists():
        yield machine, module
    else:  # as after the first `make up_all`
        env_files.keep(env_files.FOLDER)
        yield machine, module
        kept.unlink()


def test_logs_are_one_line_per_event_and_ticks_that_found_nothing_are_left_out(
    stack: tuple[Machine, str],
) -> None:
    machine, module = stack
    done = machine.run(module, "logs")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(SHOWN)
    (last,) = done.stdout.removeprefix(SHOWN).splitlines()
    assert last.endswith("postgres     ready")


def test_the_newest_mail_is_read_and_a_customers_own(stack: tuple[Machine, str]) -> None:
    machine, module = stack
    done = machine.run(module, "mails")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bob@example.com  Receipt: Stalker" in done.stdout
    assert "  Thank you, bob." in done.stdout
    assert "  Thank you, ann." in machine.run(module, "mails", "--customer", "ann").stdout
    missing = machine.run(module, "mails", "7")
    assert (missing.returncode, missing.stderr) == (1, "There is no mail 7 here; the newest is 2.\n")


@pytest.mark.parametrize("stack", ["compose"], indirect=True)
def test_a_container_that_does_not_run_is_named(stack: tuple[Machine, str]) -> None:
    machine, module = stack
    done = machine.run(module, "token")  # of its containers, mail alone runs
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The container of auth does not run. Start it: make up_all\n"


@pytest.mark.parametrize("what", ["logs", "mails", "token", "cli", "db", "demo"])
def test_without_containers_one_line_says_what_to_start(tmp_path: Path, what: str) -> None:
    machine = Machine(tmp_path)
    machine.has("docker", 'case "$1" in inspect) echo "[]";; esac')
    done = machine.run("infra.compose", what)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "No stack runs in containers. Start it: make up_all\n"


@pytest.mark.parametrize("what", ["logs", "mails", "token", "cli", "db", "demo", "kills"])
@pytest.mark.parametrize(
    ("kubectl", "says"),
    [
        ("exit 1", "No cluster answers. Start it: make kind_up\n"),
        ("", "No Boxoffice runs in the cluster. Start it: make kind_up\n"),
    ],
    ids=["no cluster", "empty"],
)
def test_without_a_cluster_or_boxoffice_in_it_one_line_says_what_to_start(
    tmp_path: Path, what: str, kubectl: str, says: str
) -> None:
    machine = Machine(tmp_path)
    machine.has("kubectl", kubectl)
    done = machine.run("infra.kubernetes", what)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", says)
