"""`echo "select 1" | make db TARGET=kind`, `make cli TARGET=kind | less`: without a terminal, standard input is passed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubernetes.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """kubectl of a cluster with a database; what `exec` is given on standard input comes back."""
    (tmp_path / "kubeconfig").touch()
    machine = Machine(tmp_path)
    machine.has("kubectl", 'case "$1" in exec) exec /bin/cat;; get) echo pod/postgres-0;; esac')
    return machine


@pytest.mark.parametrize(("role", "user"), [("", "boxoffice_support"), ("owner", "boxoffice_owner")])
def test_a_question_that_is_piped_reaches_the_database(machine: Machine, role: str, user: str) -> None:
    told = machine.run("db", typed="select 1;", ROLE=role)
    assert told.stdout == "select 1;"
    (call,) = [call for call in machine.calls() if call.startswith("kubectl exec")]
    assert call == f"kubectl exec -i -n boxoffice pod/postgres-0 -- psql -d boxoffice -U {user}"
