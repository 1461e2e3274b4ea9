"""`boxoffice` as an operator types it, run beside what lives in this process: a cinema, doors, a trigger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from typer.main import get_command

from shared_lib.cli.main import app, main

Capture = pytest.CaptureFixture[str]


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """The values of a command that is not executed. Raises KeyError for a command that is none, or Typer's usage error."""
    command: Any = get_command(app)
    name, rest = "boxoffice", list(arguments)
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    values: dict[str, Any] = command.make_context(name, rest).params
    return values


class Run:
    """Runs a command in a thread: a cinema or its doors live in this loop. `err` is what the last one printed to stderr."""

    def __init__(self, capsys: Capture) -> None:
        self._capsys = capsys
        self.err = ""

    async def __call__(self, *arguments: str, status: int = 0) -> str:
        self._capsys.readouterr()
        found = await asyncio.to_thread(main, arguments)
        printed = self._capsys.readouterr()
        self.err = printed.err
        assert found == status, printed.out + printed.err
        return printed.out
