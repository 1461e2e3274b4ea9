"""One broker from Apache Kafka's jars, on loopback, with its data in a folder of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infra.kafka.jars import HERE, classpath, java
from infra.kafka.properties import CLUSTER_ID, COMMON
from infra.kafka.readiness import answers
from infra.servers.leash import spawn
from infra.servers.ports import LOOPBACK, NotReadyError, free_port, wait_until

START_TIMEOUT_S: Final = 180.0
# A controlled shutdown takes a quarter of a second; it can hang when the broker waits for a controller that is gone.
STOP_TIMEOUT_S: Final = 30.0
HEAP_MB: Final = 384
# C1 only and the serial collector: the broker answers after a second instead of three.
QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class EmbeddedKafka:
    """Its port and its data stay the same over stop(), kill() and start(); `close()` removes the data.

    Ends with us: the kernel sends it SIGKILL when the process that started it dies. `warm` lets Java compile
    everything, for benchmarks: it starts slower and ends up faster. `guarded` are properties of a second listener,
    SASL_SSL at `guarded_bootstrap`.
    """

    def __init__(
        self, *, port: int | None = None, warm: bool = False, guarded: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self._controller_port = free_port()
        self._fixed_port = port
        self._guarded = guarded
        self._guarded_port = free_port()
        self._flags = ("-XX:+UseSerialGC",) if warm else QUICK
        self._home = Path(tempfile.mkdtemp(prefix="boxoffice-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def guarded_bootstrap(self) -> str:
        return f"{LOOPBACK}:{self._guarded_port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("kafka was not started")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        return self._home / "server.log"

    def start(self) -> Self:
        """Start it unless it runs; return when it answers. Raises NotReadyError with the end of its log after 60 s."""
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
            # Somebody took a port between our choice and its bind.
            self._end(signal.SIGKILL)
            self.port, self._controller_port = free_port(), free_port()
            self._format()
            self._start_once()
        return self

    def stop(self) -> None:
        """SIGTERM: it hands its partitions over and closes its logs; SIGKILL when that takes more than 10 s."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like to its clients. `start()` recovers within a few seconds."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

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
        said = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self._properties],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if said.returncode != 0:
            raise NotReadyError(f"kafka could not format its folder:\n{said.stdout}{said.stderr}")

    @property
    def _properties(self) -> str:
        return str(self._home / "server.properties")

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        heap = [f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m"]
        return [java(), *heap, *self._flags, logging, "-cp", classpath()]

    def _start_once(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = spawn(
                [*self._java(), "kafka.Kafka", self._properties],
                output=log,
                cwd=self._home,
                last_signal=signal.SIGKILL,
            )
        try:
            wait_until(
                lambda: answers(self.bootstrap),
                "kafka",
                timeout_s=START_TIMEOUT_S,
                alive=lambda: self.running,
            )
        except NotReadyError as error:
            self._end(signal.SIGKILL)
            raise NotReadyError(f"{error}:\n{self._log_tail()}") from None

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
            time.sleep(0.02)
        self._process = None

    def _log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])
