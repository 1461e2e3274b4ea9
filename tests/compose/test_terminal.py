"""`make cli TARGET=compose | less`, a cron job, a script: Compose refuses `exec` without a terminal unless an option says so."""

from __future__ import annotations

import io
import sys

import pytest

from infra.compose import __main__ as command_line
from infra.compose import up


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def run(*arguments: str) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr(command_line, "run", run)
    monkeypatch.setattr(up, "need_running", lambda: None)
    return calls


@pytest.mark.parametrize("piped", ["stdin", "stdout"])
def test_without_a_terminal_none_is_asked_for(
    composed: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, piped: str
) -> None:
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, io.StringIO() if name == piped else Terminal())
    assert command_line.main(["cli", "lag"]) == 0
    assert composed == [("run", "-T", "--rm", "cli", "lag")]


def test_with_a_terminal_it_is_handed_on(
    composed: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, Terminal())
    assert command_line.main(["db"]) == 0
    assert composed == [("exec", "postgres", "psql", "-d", "boxoffice", "-U", "boxoffice_support")]
