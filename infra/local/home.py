"""The stack's data folder: which process holds it, its ports and secrets, and where the running stack answers."""

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

# The ports that .env.example names for the neighbours, used when they are free.
USUAL_PORTS: Final = {
    "gateway": 8100,
    "auth": 8101,
    "sandbox": 8102,
    "mail": 8103,
    "postgres": 8104,
    "redis": 8105,
}
# Below the ephemeral ports, one of which may be busy at the next start.
QUIET_PORTS: Final = range(20_000, 32_000)
# Servers of a stack that was just killed need a moment to release their ports.
PORT_PATIENCE_S: Final = 3.0

NOT_RUNNING: Final = "No stack runs here. Start it in another terminal: make up, or make up_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Made on the first run; files with mode 0600."""

    sandbox_api_key: str
    sandbox_webhook_secret: str
    database_password: str  # the administrator's; the roles' are derived from it (servers/access.py)
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
    public: str = ""  # the gateway's address for customers, when it differs from `gateway`


class Home:
    """The data folder. The local stack writes nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock: IO[str] | None = None
        self._claims: list[socket.socket] = []

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def hold(self) -> bool:
        """Create the folder and lock it; False when a running stack holds it. The lock ends with this process, SIGKILL included."""
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
        if asdict(found) != kept:  # a folder of an older version lacks the newer secrets
            self._write(path, asdict(found))
        return found

    def ports(self, names: Iterable[str]) -> dict[str, int]:
        """The ports of earlier runs, so that checkout links survive a restart; new ones where another process has taken them."""
        path = self.folder / "ports.json"
        remembered: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        chosen: dict[str, int] = {}
        for name in names:
            wanted = [port for port in (remembered.get(name), USUAL_PORTS.get(name)) if port]
            if name == "gateway":  # returns to its usual port as soon as that is free
                wanted.reverse()
            wanted = [port for port in wanted if port not in chosen.values()]
            free = (port for port in wanted if self._take(port, wait=port == remembered.get(name)))
            chosen[name] = next(free, None) or self._quiet_port()
        self._write(path, remembered | chosen)
        return chosen

    def _take(self, port: int, *, wait: bool = False) -> bool:
        """Whether we have the port now. With `wait`, a port of the last run gets a moment to become free."""
        deadline = time.monotonic() + (PORT_PATIENCE_S if wait else 0.0)
        while not (_is_free(port) and self._claim(port)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _claim(self, port: int) -> bool:
        """Claim the port under a name, because another stack would find it free until our child listens.

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
        """The announced stack. It may have been killed since: then no process holds the folder."""
        try:
            return Running(**json.loads((self.folder / "running.json").read_text()))
        except FileNotFoundError:
            return None

    def found(self) -> Running | None:
        """The announced stack, if a process still holds the folder."""
        try:
            with (self.folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return self.running()
        return None

    def keep_token(self, name: str, token: str) -> Path:
        """Write a token to a file, for `$(cat ...)`: tokens are too long to type."""
        path = self.folder / f"{name}.token"
        self._write_text(path, token)
        return path

    def keep_settings(self, settings: Mapping[str, str], process: str = "settings") -> None:
        """Settings of the running stack for a shell: those of `make cli`, or those of one process to run it by hand."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
        self._write_text(self.folder / f"{process}.env", "".join(lines))

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        self._write_text(path, json.dumps(content, indent=2) + "\n")

    def _write_text(self, path: Path, text: str) -> None:
        """Write a complete file or none, even when we are killed."""
        draft = path.with_suffix(f".{os.getpid()}.draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)


def of_another_user(home: Home, error: PermissionError) -> str:
    """What to do when root, or another user, has run the stack on this folder before. Any other error is raised again."""
    if not Path(error.filename or "/").is_relative_to(home.folder):
        raise error
    return (
        f"{error.filename} belongs to another user, who ran this before.\n"
        f"Go on as that user, or start with new data: sudo rm -rf {shlex.quote(str(home.folder))}"
    )


def typed(path: Path) -> str:
    """The path as typed in the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
