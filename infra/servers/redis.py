"""A real Redis, or Valkey: the one that infra/servers/redis_choice.py finds on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from infra.servers.base import Server
from infra.servers.ports import LOOPBACK, READY_S, accepts, free_port
from infra.servers.redis_access import USER, rules
from infra.servers.redis_choice import MissingRedisError, redis_program


class EmbeddedRedis(Server):
    """One redis-server on loopback that keeps nothing: Redis only saves time here (house rule 4).

    The port stays the same over `restart()`, so tests can show what clients do when Redis comes back.
    """

    name = "redis"

    def __init__(self, *, port: int | None = None, log_file: Path | None = None, password: str = "") -> None:
        """With `password`, only the user of infra/servers/redis_access.py may run commands, and only those of Boxoffice."""
        super().__init__(log_file)
        self.port = port or free_port()
        self._password = password

    def start(self) -> Self:
        """Start it unless it runs; return when it accepts connections.

        Raises MissingRedisError where there is none to start, NotReadyError after READY_S.
        """
        if self.running:
            return self
        if (program := redis_program()) is None:
            raise MissingRedisError
        options = {"port": self.port, "bind": LOOPBACK, "appendonly": "no", "save": "", "databases": 64}
        argv: list[str | Path] = [
            program,
            *(word for key, value in options.items() for word in (f"--{key}", str(value))),
            *(
                word
                for rule in (rules(self._password) if self._password else ())
                for word in ("--user", *rule)
            ),
        ]
        self._launch(argv, ready=lambda: accepts(LOOPBACK, self.port), timeout_s=READY_S)
        return self

    def url(self, database: int = 0) -> str:
        user = f"{USER}:{self._password}@" if self._password else ""
        return f"redis://{user}{LOOPBACK}:{self.port}/{database}"

    def restart(self) -> None:
        """Stop it if it runs, and start it empty on the same port."""
        self.stop()
        self.start()
