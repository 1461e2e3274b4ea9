"""One broker in a container of the public image, for a machine that has Docker."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import time
from types import TracebackType
from typing import Final, Self

from infra.kafka.jars import KAFKA_VERSION
from infra.kafka.properties import CLUSTER_ID, COMMON
from infra.kafka.readiness import answers
from infra.servers.leash import spawn
from infra.servers.ports import LOOPBACK, NotReadyError, free_port, wait_until

IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
ASK_TIMEOUT_S: Final = 10.0
PULL_TIMEOUT_S: Final = 90.0
START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 15.0
DATA: Final = "/var/lib/kafka/data"


def docker_answers() -> bool:
    """Whether there is a Docker daemon we may use."""
    return shutil.which("docker") is not None and _docker("info", timeout_s=ASK_TIMEOUT_S)


def image_is_here() -> bool:
    return _docker("image", "inspect", IMAGE, timeout_s=ASK_TIMEOUT_S)


def pull() -> bool:
    """Fetch the image. False when no registry gives it within 90 s."""
    return _docker("pull", "--quiet", IMAGE, timeout_s=PULL_TIMEOUT_S)


class ContainerKafka:
    """Its port and its data (a volume) stay the same over stop(), kill() and start(); `close()` removes the data.

    The `docker run` in front of it is on our leash: when we die, it is told to stop and takes the container with it.
    """

    def __init__(self, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self._name = f"boxoffice-kafka-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it unless it runs; return when it answers, within 60 s or NotReadyError."""
        if self.running:
            return self
        docker = shutil.which("docker")
        assert docker is not None  # docker_answers() was asked before
        self._process = spawn([docker, *self._run()], output=subprocess.DEVNULL)
        try:
            wait_until(
                lambda: answers(self.bootstrap),
                "kafka in its container",
                timeout_s=START_TIMEOUT_S,
                alive=lambda: self.running,
            )
        except NotReadyError:
            self.kill()
            raise
        return self

    def _run(self) -> list[str]:
        own = {
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": DATA,
        }
        variables = {
            f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in {**COMMON, **own}.items()
        }
        variables |= {"CLUSTER_ID": CLUSTER_ID, "KAFKA_HEAP_OPTS": "-Xms384m -Xmx384m"}
        settings = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        where = ["--publish", f"{LOOPBACK}:{self.port}:9092", "--volume", f"{self._name}:{DATA}"]
        return ["run", "--rm", "--name", self._name, *where, *settings, IMAGE]

    def stop(self) -> None:
        """SIGTERM, as Docker sends it; SIGKILL when it takes more than 15 s."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._gone()

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like to its clients."""
        if self._process is not None:
            _docker("kill", self._name, timeout_s=STOP_TIMEOUT_S)
            self._gone()

    def _gone(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                _docker("kill", self._name, timeout_s=STOP_TIMEOUT_S)
                self._process.kill()
                self._process.wait()
            time.sleep(0.05)
        _docker("rm", "--force", self._name, timeout_s=STOP_TIMEOUT_S)
        self._process = None

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        _docker("volume", "rm", "--force", self._name, timeout_s=STOP_TIMEOUT_S)

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


def _docker(*words: str, timeout_s: float) -> bool:
    try:
        done = subprocess.run(["docker", *words], capture_output=True, timeout=timeout_s, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return done.returncode == 0
