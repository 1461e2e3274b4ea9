"""What all embedded servers share: start, wait until ready, stop, kill."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from infra.servers.leash import Owner, spawn
from infra.servers.ports import NotReadyError, wait_until

LOG_LINES = 15


class Server(ABC):
    """One server process on loopback that ends with the process that started it.

    A subclass says in `start()` which command to `_launch` and how to see that it answers.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    abort_signal: ClassVar[signal.Signals] = signal.SIGKILL  # for a server that did not become ready
    orphan_signal: ClassVar[signal.Signals] = signal.SIGTERM  # what the kernel sends when we die
    stop_timeout_s: ClassVar[float] = 10.0

    def __init__(self, log_file: Path | None = None) -> None:
        self.log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @abstractmethod
    def start(self) -> Self:
        """Start it unless it runs; return when it is ready. Raises NotReadyError."""

    def stop(self) -> None:
        """Ask it to end and wait until it has; SIGKILL after `stop_timeout_s`."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """SIGKILL: its clients see what a power cut looks like."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it, and remove what it keeps only for itself."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(
        self,
        argv: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        timeout_s: float,
        owner: Owner | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv`; return when `ready()`. Otherwise it is ended, and NotReadyError has the end of its log."""
        if self.log_file is None:
            self._process = self._spawn(argv, subprocess.DEVNULL, owner, env, cwd)
        else:
            with self.log_file.open("ab") as log:
                self._process = self._spawn(argv, log.fileno(), owner, env, cwd)
        try:
            wait_until(ready, self.name, timeout_s=timeout_s, alive=lambda: self.running)
        except NotReadyError as error:
            self._end(self.abort_signal)
            raise NotReadyError(f"{error}\n{self._log_tail()}".rstrip()) from None

    def _spawn(
        self,
        argv: Sequence[str | Path],
        output: int,
        owner: Owner | None,
        env: Mapping[str, str] | None,
        cwd: Path | None,
    ) -> subprocess.Popen[bytes]:
        return spawn(argv, output=output, owner=owner, env=env, cwd=cwd, last_signal=self.orphan_signal)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _log_tail(self) -> str:
        if self.log_file is None or not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-LOG_LINES:])
