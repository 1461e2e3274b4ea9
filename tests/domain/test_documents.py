from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared_lib.cli.docs import DOCUMENTS, MACHINES, diagram, main, stale, state_machines, table, write
from shared_lib.domain.order import ORDER
from shared_lib.domain.state_machine import StateMachine

ROOT = Path(__file__).parents[2]
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


def test_the_committed_documents_say_what_the_code_says() -> None:
    assert stale(ROOT) == [], "run python -m shared_lib.cli.docs"


def test_a_stale_document_fails_the_check_until_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(tmp_path)]
    assert main([*arguments, "--check"]) == 1
    assert "docs/state-machines.md is stale" in capsys.readouterr().out
    assert stale(tmp_path) == list(DOCUMENTS)  # a check writes nothing

    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0

    document = tmp_path / "docs" / "state-machines.md"
    document.write_text(document.read_text() + "by hand\n")
    assert main([*arguments, "--check"]) == 1
    assert write(tmp_path) == ["docs/state-machines.md"]
    assert write(tmp_path) == []


def test_a_document_does_not_depend_on_the_order_of_sets() -> None:
    """Edges are partly built from sets of text, whose order changes with the hash seed."""
    script = "from shared_lib.cli.docs import state_machines; print(state_machines(), end='')"
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script]
        written = subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert written.stdout == state_machines()


@each_machine
def test_a_diagram_draws_each_status_and_no_old_news(machine: StateMachine[Any, Any]) -> None:
    arrows = [
        line.strip().split(": ")[0].split(" --> ") for line in diagram(machine).splitlines() if "-->" in line
    ]
    statuses: Any = type(machine.initial)
    assert {name for arrow in arrows for name in arrow} - {"[*]"} == set(statuses)
    assert all(source != target for source, target in arrows)
    assert len({tuple(arrow) for arrow in arrows}) == len(arrows)


def test_a_diagram_and_a_table_read_like_this() -> None:
    assert diagram(ORDER).splitlines()[:6] == [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> pending",
        "    pending --> paid: payment_succeeded",
        "    pending --> canceled: canceled",
        "    pending --> expired: expired",
    ]
    assert table(ORDER).splitlines()[3:5] == [
        "| **paid** | alarm | alarm | alarm | old news | partially_refunded | refunded |",
        "| **canceled** | paid | old news | old news | alarm | alarm | alarm |",
    ]
