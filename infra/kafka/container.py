"""One broker in a container of the public image, for a machine that has Docker."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from typing import Final, Self

from infra.kafka.jars import KAFKA_VERSION
from infra.kafka.properties import CLUSTER_ID, COMMON
from infra.kafka.readiness import answers
from infra.servers.base import Server
from infra.servers.ports import LOOPBACK, free_port

IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
ASK_TIMEOUT_S: Final = 10.0
PULL_TIMEOUT_S: Final = 90.0
START_TIMEOUT_S: Final = 180.0
DOCKER_TIMEOUT_S: Final = 15.0
DATA: Final = "/var/lib/kafka/data"


def docker_answers() -> bool:
    """Whether this user can use a Docker daemon."""
    return shutil.which("docker") is not None and _docker("info", timeout_s=ASK_TIMEOUT_S)


def image_is_here() -> bool:
    return _docker("image", "inspect", IMAGE, timeout_s=ASK_TIMEOUT_S)


def pull() -> bool:
    """Fetch the image. False when no registry delivers it within PULL_TIMEOUT_S."""
    return _docker("pull", "--quiet", IMAGE, timeout_s=PULL_TIMEOUT_S)


class ContainerKafka(Server):
    """Its port and its data (a volume) stay the same over stop(), kill() and start(); `close()` removes the data.

    The process is `docker run`: when we die, the kernel sends it SIGTERM, and it takes the container with it.
    """

    name = "kafka in its container"
    stop_timeout_s = 15.0

    def __init__(self, *, port: int | None = None) -> None:
        super().__init__()
        self.port = port or free_port()
        self._name = f"boxoffice-kafka-{secrets.token_hex(4)}"

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start it unless it runs; return when it answers. Raises NotReadyError after START_TIMEOUT_S."""
        if self.running:
            return self
        docker = shutil.which("docker")
        assert docker is not None  # docker_answers() was asked before
        self._launch([docker, *self._run()], ready=lambda: answers(self.bootstrap), timeout_s=START_TIMEOUT_S)
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

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        _docker("volume", "rm", "--force", self._name, timeout_s=DOCKER_TIMEOUT_S)

    def _end(self, how: signal.Signals) -> None:
        """`docker run` passes SIGTERM on; SIGKILL would end it and leave the container running."""
        if self._process is None:
            return
        if how is signal.SIGKILL:
            _docker("kill", self._name, timeout_s=DOCKER_TIMEOUT_S)
        else:
            self._process.send_signal(how)
        try:
            self._process.wait(timeout=self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            _docker("kill", self._name, timeout_s=DOCKER_TIMEOUT_S)
            self._process.kill()
            self._process.wait()
        _docker("rm", "--force", self._name, timeout_s=DOCKER_TIMEOUT_S)
        self._process = None


def _docker(*words: str, timeout_s: float) -> bool:
    try:
        done = subprocess.run(["docker", *words], capture_output=True, timeout=timeout_s, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return done.returncode == 0
