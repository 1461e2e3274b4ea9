"""The stack's processes: started in groups, waited for, restarted when they die, stopped in reverse order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from infra.local.console import Console
from infra.servers.base import Server
from infra.servers.leash import spawn

ROOT: Final = Path(__file__).resolve().parents[2]
POLL_S: Final = 0.1
READY_TIMEOUT_S: Final = 180.0  # fourteen processes start at once, on a busy machine
STOP_TIMEOUT_S: Final = 5.0
LINE_BYTES_MAX: Final = 1 << 20
# After this many restarts within this many seconds, a process stays down.
RESTARTS_MAX: Final = 5
RESTARTS_WINDOW_S: Final = 60.0


class StackError(RuntimeError):
    """The stack cannot run; the text says which process and why."""


async def _nothing() -> None:
    """The default of Program.prepare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. `ready_url` answers below 400 when the process is ready; then `prepare` is called, at every start."""

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str]
    ready_url: str | None = None
    prepare: Callable[[], Awaitable[None]] = _nothing


class Child:
    """One running program, its output going to the console and to its log file."""

    def __init__(self, program: Program, console: Console) -> None:
        self.program = program
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.reloading = False  # asked to end, to be started again with the changed code
        self.left_down = False  # it kept dying: only a reload starts it again

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode if self._process else None
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def start(self) -> None:
        """Start it. The kernel kills it when we die: killing the stack kills every process, and tests check that no data is lost."""
        self._process = spawn(
            self.program.argv,
            output=subprocess.PIPE,
            env=self.program.env,
            cwd=ROOT,
            last_signal=signal.SIGKILL,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: subprocess.Popen[bytes]) -> None:
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        assert process.stdout is not None
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        with self._console.log_file(self.program.name).open("a", buffering=1) as log:
            while line := await _line(reader):
                log.write(line + "\n")
                self._console.line(self.program.name, line)
        transport.close()

    def signal(self, how: signal.Signals) -> None:
        if self.running and self._process:
            self._process.send_signal(how)

    async def ends(self) -> None:
        """Wait until it ends, without a signal."""
        if self._process:
            await asyncio.to_thread(self._process.wait)

    async def gone(self) -> None:
        """Wait until it has ended and its output is written; kill it after STOP_TIMEOUT_S."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.running:
            if time.monotonic() > deadline:
                self._console.warn(f"{self.program.name} does not stop: killing it.")
                self.signal(signal.SIGKILL)
                deadline = float("inf")
            await asyncio.sleep(0.02)
        if self._reading:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reading, 1.0)


async def _line(reader: asyncio.StreamReader) -> str:
    """The next line that is not empty; empty at the end."""
    while True:
        try:
            raw = await reader.readline()
        except ValueError:
            continue  # longer than LINE_BYTES_MAX
        text = raw.decode(errors="replace").rstrip()
        if text or not raw:
            return text


class Supervisor:
    """Keeps children and servers running until `stop`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._groups: list[list[Child]] = []
        self._servers: list[tuple[str, Server]] = []
        self._watching: list[asyncio.Task[None]] = []
        self._http = httpx.AsyncClient(timeout=2.0, trust_env=False)

    def serve(self, name: str, server: Server) -> None:
        """Start an embedded server; blocks until it answers."""
        try:
            server.start()
        except RuntimeError as error:
            raise StackError(f"{name} does not start: {error}") from error
        self._servers.append((name, server))

    def launch(self, programs: Sequence[Program]) -> list[Child]:
        """Start a group of programs at once. Groups are stopped in reverse."""
        children = [Child(program, self._console) for program in programs]
        self._groups.append(children)
        for child in children:
            child.start()
        return children

    async def ready(self, child: Child, restarts: int = 2) -> None:
        """Wait until a child answers. Restart it a few times, because its port may become free a moment too late."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (await self._answers(child.program.ready_url) and child.running):
            if not child.running and restarts:
                restarts -= 1
                await asyncio.sleep(0.5)
                child.start()
            elif not child.running or time.monotonic() > deadline:
                why = "is not ready in time" if child.running else f"ended with {child.ended}"
                raise StackError(
                    f"{child.program.name} {why}. The end of its log:\n{self._console.tail(child.program.name)}"
                )
            await asyncio.sleep(POLL_S)
        await child.program.prepare()

    async def _answers(self, url: str | None) -> bool:
        if url is None:
            return True
        try:
            return (await self._http.get(url)).status_code < 400
        except httpx.TransportError:
            return False

    async def run_to_end(self, program: Program) -> None:
        """Run a program until it ends. StackError when it fails."""
        child = Child(program, self._console)
        child.start()
        try:
            await child.ends()
            await child.gone()
        finally:
            child.signal(signal.SIGKILL)
        if child.ended != "exit code 0":
            raise StackError(f"{program.name} failed:\n{self._console.tail(program.name)}")

    def watch(self) -> None:
        """From now on, restart children and servers that die."""
        for name, server in self._servers:
            self._watching.append(asyncio.create_task(self._keep_server(name, server)))
        for child in (child for group in self._groups for child in group):
            self._watching.append(asyncio.create_task(self._keep_child(child)))

    def reload(self, names: Collection[str]) -> list[str]:
        """Send these children SIGTERM. They finish the work they have accepted, and `watch` starts them again.

        Returns the names of those that run or were left down. A child that is just starting is asked as well.
        """
        children = [child for group in self._groups for child in group if child.program.name in names]
        for child in children:
            child.reloading = True
            child.signal(signal.SIGTERM)
        return [child.program.name for child in children]

    async def _keep_child(self, child: Child) -> None:
        deaths: deque[float] = deque(maxlen=RESTARTS_MAX)
        name = child.program.name
        while True:
            await asyncio.sleep(POLL_S)
            reloaded = child.reloading
            if child.running or (child.left_down and not reloaded):
                continue
            if reloaded:
                deaths.clear()
            elif not self._may_restart(name, child.ended, deaths):
                child.left_down = True
                continue
            child.reloading = child.left_down = False
            child.start()
            try:
                await self.ready(child, restarts=0)
                self._console.warn(f"{name} is back (pid {child.pid}).")
            except StackError as error:
                if child.reloading:  # its file changed once more while it started
                    continue
                self._console.warn(str(error))
                if reloaded and not child.running:
                    child.left_down = True
                    self._console.warn(f"{name} stays down until one of its files changes.")

    async def _keep_server(self, name: str, server: Server) -> None:
        deaths: deque[float] = deque(maxlen=RESTARTS_MAX)
        while True:
            await asyncio.sleep(POLL_S)
            if server.running:
                continue
            if not self._may_restart(name, "its process", deaths):
                return
            try:
                server.start()
                self._console.warn(f"{name} is back.")
            except RuntimeError as error:
                self._console.warn(str(error))

    def _may_restart(self, name: str, how: str, deaths: deque[float]) -> bool:
        now = time.monotonic()
        if len(deaths) == RESTARTS_MAX and now - deaths[0] < RESTARTS_WINDOW_S:
            self._console.warn(f"{name} ended ({how}) and keeps ending: it stays down.")
            return False
        deaths.append(now)
        self._console.warn(f"{name} ended ({how}): starting it again.")
        return True

    async def stop(self) -> None:
        """Stop everything in reverse order, a group at a time."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for group in reversed(self._groups):
            for child in group:
                child.signal(signal.SIGTERM)
            await asyncio.gather(*(child.gone() for child in group))
        for _, server in reversed(self._servers):
            server.stop()
        await self._http.aclose()


def inherited() -> dict[str, str]:
    """The caller's environment without variables that could redirect a process or that it must not see: settings of another
    stack, proxies, real AWS keys, an administrator's addresses.
    """
    strange = ("BOXOFFICE_", "AWS_", "SANDBOX_", "PYTHON", "PG", "DATABASE_URL", "REDIS_URL", "NGROK_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(strange) and not name.lower().endswith("_proxy")
    } | {"PYTHONUNBUFFERED": "1"}
