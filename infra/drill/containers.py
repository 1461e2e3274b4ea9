"""The drill on containers: how one is killed and started again, and how the load runs beside them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from infra.compose.docker import ROOT, compose, compose_command, containers, docker, images
from infra.compose.up import need_running, wait
from infra.drill.rounds import CALM_TIMEOUT_S, DOORS, STORES_AND_WORKERS, Customers, drill, talking_to

VICTIMS: Final = (*STORES_AND_WORKERS, *DOORS, "sandbox", "auth", "nginx")


class Containers:
    """The stack of `make up_all`. A killed container stays down until it is started."""

    name = "infra.drill"
    first = "make up_all"
    victims: Sequence[str] = VICTIMS

    def running(self) -> list[str]:
        need_running()
        return list(containers())

    @contextmanager
    def load(self, rate: float) -> Iterator[Customers]:
        command = [*compose_command(), "run", "--rm", "-T", "demo"]
        command += ["python", "-m", "infra.drill.load", "--rate", str(rate)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=images() | os.environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with talking_to(process) as customers:
            yield customers

    def kill(self, victim: str, down_s: float) -> None:
        id_ = containers()[victim]["Id"]
        docker("kill", "-s", "KILL", id_)
        time.sleep(down_s)
        docker("start", id_)

    def wait(self) -> None:
        wait(CALM_TIMEOUT_S)

    def show(self) -> None:
        compose("ps")


def kills(arguments: Sequence[str]) -> int:
    """0 when nothing was lost or doubled, and everything was settled in time."""
    return drill(Containers(), arguments)
