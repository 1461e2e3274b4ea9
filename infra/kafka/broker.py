"""One broker from Apache Kafka's jars, on loopback, with its data in a folder of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from infra.kafka.jars import HERE, classpath, java
from infra.kafka.properties import CLUSTER_ID, COMMON
from infra.kafka.readiness import answers
from infra.servers.base import Server
from infra.servers.ports import LOOPBACK, NotReadyError, free_port

START_TIMEOUT_S: Final = 180.0
HEAP_MB: Final = 384
# C1 only and the serial collector: the broker answers after a second instead of three.
QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class EmbeddedKafka(Server):
    """Its port and its data stay the same over stop(), kill() and start(); `close()` removes the data.

    `warm` lets Java compile everything, for benchmarks: it starts slower and then runs faster. `guarded` are properties of a
    second listener, SASL_SSL at `guarded_bootstrap`.
    """

    name = "kafka"
    log_file: Path
    orphan_signal = signal.SIGKILL
    # A controlled shutdown takes a quarter of a second; it can hang when the broker waits for a controller that has ended.
    stop_timeout_s = 30.0

    def __init__(
        self, *, port: int | None = None, warm: bool = False, guarded: Mapping[str, str] | None = None
    ) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="boxoffice-kafka-"))
        super().__init__(self._home / "server.log")
        self.port = port or free_port()
        self._controller_port = free_port()
        self._fixed_port = port
        self._guarded = guarded
        self._guarded_port = free_port()
        self._flags = ("-XX:+UseSerialGC",) if warm else QUICK

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def guarded_bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._guarded_port}"

    def start(self) -> Self:
        """Start it unless it runs; return when it answers. Raises NotReadyError after START_TIMEOUT_S."""
        if self.running:
            return self
        first = not (self._home / "data").exists()
        if first:
            self._format()
        try:
            self._start_once()
        except NotReadyError:
            if not first or self._fixed_port:
                raise
            # Another process took a port between our choice and its bind.
            self.port, self._controller_port = free_port(), free_port()
            self._format()
            self._start_once()
        return self

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _format(self) -> None:
        own = {
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(self._home / "data"),
        }
        if self._guarded is not None:
            second = f",SASL_SSL://{self.guarded_bootstrap}"
            own["listeners"] += second
            own["advertised.listeners"] += second
            own["listener.security.protocol.map"] = (
                COMMON["listener.security.protocol.map"] + ",SASL_SSL:SASL_SSL"
            )
            own |= self._guarded
        text = "".join(f"{key}={value}\n" for key, value in {**COMMON, **own}.items())
        (self._home / "server.properties").write_text(text)
        shutil.rmtree(self._home / "data", ignore_errors=True)
        formatted = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self._properties],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if formatted.returncode != 0:
            raise NotReadyError(
                f"kafka could not format its data folder:\n{formatted.stdout}{formatted.stderr}"
            )

    @property
    def _properties(self) -> str:
        return str(self._home / "server.properties")

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        heap = [f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m"]
        return [java(), *heap, *self._flags, logging, "-cp", classpath()]

    def _start_once(self) -> None:
        self._launch(
            [*self._java(), "kafka.Kafka", self._properties],
            ready=lambda: answers(self.bootstrap),
            timeout_s=START_TIMEOUT_S,
            cwd=self._home,
        )
