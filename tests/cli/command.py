"""The operator's command line, run beside a cinema that lives in this process."""

from __future__ import annotations

import asyncio

import pytest

from shared_lib.cli.main import main

Capture = pytest.CaptureFixture[str]


class Run:
    """Runs a command in a thread: the cinema lives in this loop. Remembers what it printed."""

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
