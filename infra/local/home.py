"""The stack's own folder: who holds it, which ports and secrets it remembers, and where the running stack is found."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from infra.sandbox.launch import new_webhook_secret
from infra.servers.ports import LOOPBACK

# Where nobody else is, the neighbours of .env.example are found where it says.
USUAL_PORTS: Final = {
    "gateway": 8100,
    "auth": 8101,
    "sandbox": 8102,
    "mail": 8103,
    "postgres": 8104,
    "redis": 8105,
}
# Below the ports that systems hand out for outgoing calls: one of those may be busy at the next start.
QUIET_PORTS: Final = range(20_000, 32_000)
# Servers of a stack that was killed a moment ago let go of their ports.
PORT_PATIENCE_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Made on the first run, readable by their owner alone."""

    sandbox_api_key: str
    sandbox_webhook_secret: str
    database_password: str  # the administrator's; those of the roles follow from it (access.py)
    redis_password: str
    reply_secret: str
    event_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where the parts of a running stack answer."""

    pid: int
    gateway: str
    auth: str
    sandbox: str
    mail: str
    database_url: str
    doors: dict[str, str]
    public: str = ""  # what customers call the gateway, where that is not how we reach it


class Home:
    """A data folder. Everything the local stack writes is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock: IO[str] | None = None
        self._claims: list[socket.socket] = []

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def hold(self) -> bool:
        """Make the folder and take it; False when a stack that lives has it. Ends with this process, however it ends."""
        self.logs.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        self.forget_running()
        return True

    def secrets(self) -> Secrets:
        path = self.folder / "secrets.json"
        fresh = Secrets(
            sandbox_api_key="sk_sandbox_" + secrets.token_hex(16),
            sandbox_webhook_secret=new_webhook_secret(),
            database_password=secrets.token_hex(20),
            redis_password=secrets.token_hex(20),
            reply_secret=secrets.token_hex(32),
            event_secret=new_webhook_secret(),
        )
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        found = Secrets(**(asdict(fresh) | kept))
        if asdict(found) != kept:  # a folder of an older version lacks what is new
            self._write(path, asdict(found))
        return found

    def ports(self, names: Iterable[str]) -> dict[str, int]:
        """The ports of earlier runs, so that checkout links outlive a restart; others where somebody has taken them."""
        path = self.folder / "ports.json"
        remembered: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        chosen: dict[str, int] = {}
        for name in names:
            wanted = [port for port in (remembered.get(name), USUAL_PORTS.get(name)) if port]
            if name == "gateway":  # goes back to where everybody expects it as soon as it can
                wanted.reverse()
            wanted = [port for port in wanted if port not in chosen.values()]
            free = (port for port in wanted if self._take(port, wait=port == remembered.get(name)))
            chosen[name] = next(free, None) or self._quiet_port()
        self._write(path, remembered | chosen)
        return chosen

    def _take(self, port: int, *, wait: bool = False) -> bool:
        """Whether it is ours now; one that was ours may need a moment."""
        deadline = time.monotonic() + (PORT_PATIENCE_S if wait else 0.0)
        while not (_is_free(port) and self._claim(port)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _claim(self, port: int) -> bool:
        """Until a child listens there, another stack would find the port free: a name says whose it is.

        Abstract sockets end with their process and leave no file; only Linux has them.
        """
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0boxoffice-port-{port}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True

    def _quiet_port(self) -> int:
        return next(port for port in random.sample(QUIET_PORTS, len(QUIET_PORTS)) if self._take(port))

    def announce(self, running: Running) -> None:
        self._write(self.folder / "running.json", asdict(running))

    def forget_running(self) -> None:
        (self.folder / "running.json").unlink(missing_ok=True)

    def running(self) -> Running | None:
        """The stack that was announced; it may have been killed since, if nobody holds the folder."""
        try:
            return Running(**json.loads((self.folder / "running.json").read_text()))
        except FileNotFoundError:
            return None

    def keep_token(self, name: str, token: str) -> Path:
        """A file for `$(cat ...)`: tokens are too long to be typed."""
        path = self.folder / f"{name}.token"
        self._write_text(path, token)
        return path

    def keep_settings(self, settings: Mapping[str, str]) -> None:
        """The running stack's settings for a shell: `make cli` and whoever runs a part by hand read them."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
        self._write_text(self.folder / "settings.env", "".join(lines))

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        self._write_text(path, json.dumps(content, indent=2) + "\n")

    def _write_text(self, path: Path, text: str) -> None:
        """Whole or not at all, whenever we are killed."""
        draft = path.with_suffix(f".{os.getpid()}.draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
