"""Lines of the log leave together, and none is lost with a process that ends."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared_lib.log_lines import BYTES_MAX, LineWriter

ROOT = Path(__file__).parents[2]


class Stream(io.StringIO):
    """Keeps what each call of `write` brought."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


async def turn() -> None:
    """Until the event loop has called what was due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_the_lines_of_a_turn_are_written_with_one_call() -> None:
    stream = Stream()
    lines = LineWriter(stream)
    lines.info("a")
    lines.warning("b")
    lines.debug("c")
    assert stream.written == []
    await turn()
    assert stream.written == ["a\nb\nc\n"]
    lines.info("d")
    await turn()
    assert stream.written == ["a\nb\nc\n", "d\n"]


async def test_an_error_is_written_at_once_behind_what_waits() -> None:
    stream = Stream()
    lines = LineWriter(stream)
    lines.info("before")
    lines.error("error")
    lines.critical("critical")
    assert stream.written == ["before\nerror\n", "critical\n"]
    await turn()
    assert len(stream.written) == 2


def test_outside_a_loop_each_line_is_written_at_once() -> None:
    stream = Stream()
    lines = LineWriter(stream)
    lines.info("a")
    lines.info("b")
    assert stream.written == ["a\n", "b\n"]


async def test_a_thread_without_a_loop_writes_at_once_and_in_order() -> None:
    stream = Stream()
    lines = LineWriter(stream)
    lines.info("loop")
    await asyncio.to_thread(lines.info, "thread")
    await turn()
    assert "".join(stream.written).splitlines() == ["loop", "thread"]


@pytest.mark.parametrize("char", ["x", "\u0416"])
async def test_what_is_written_at_once_reaches_a_pipe_in_one_piece(char: str) -> None:
    stream = Stream()
    lines = LineWriter(stream)
    sent = [f"{n} {char * 900}" for n in range(20)]
    for line in sent:
        lines.info(line)
    await turn()
    assert "".join(stream.written).splitlines() == sent
    assert all(len(piece.encode()) <= BYTES_MAX for piece in stream.written)
    assert len(stream.written) < len(sent)


def test_what_a_loop_left_is_written_by_the_next_one() -> None:
    stream = Stream()
    lines = LineWriter(stream)

    async def leaves(line: str) -> None:
        lines.info(line)

    for line in ("first", "second"):
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(leaves(line))
            if line == "second":
                loop.run_until_complete(turn())
        finally:
            loop.close()
    assert "".join(stream.written).splitlines() == ["first", "second"]


PROCESS = """
import asyncio, os, signal, sys
import structlog
from shared_lib import log as logs

logs.configure(function="test", pretty=False)
log = structlog.get_logger("test")

async def main():
    log.info("first")
    log.info("second")
    {ending}

{run}
"""
RUN, BARE = "asyncio.run(main())", "asyncio.new_event_loop().run_until_complete(main())"
TERM = "os.kill(os.getpid(), signal.SIGTERM); await asyncio.sleep(60)"
STOPS = (
    "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel); " + TERM
)


@pytest.mark.parametrize(
    ("ending", "run"),
    [
        ("pass", RUN),
        ("pass", BARE),
        ("raise RuntimeError", RUN),
        ("raise RuntimeError", BARE),
        ("sys.exit(3)", BARE),
        ("log.error('last'); os._exit(4)", RUN),
        ("logs.flush(); os._exit(4)", RUN),
        (STOPS, RUN),
        (f"await asyncio.sleep(0); {TERM}", RUN),
    ],
)
def test_a_process_that_ends_has_written_its_lines(ending: str, run: str) -> None:
    code = PROCESS.format(ending=ending, run=run)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines() if line.startswith("{")]
    assert events[:2] == ["first", "second"], ended.stderr
    assert events[2:] == (["last"] if "last" in ending else [])
