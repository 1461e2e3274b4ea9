"""A pod beside the doors, in which visitor.py is run: customers reach the gateway the way pods do, on any cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from infra.kubernetes.visitors import pod
from tests.cluster.kubectl import NAMESPACE, Kubectl

SCRIPT: Final = Path(__file__).with_name("visitor.py")
POD: Final = "visitors"
STARTS_S: Final = 120.0
ENDS_S: Final = 30.0

Told = dict[str, Any]


class Visit:
    """One run of visitor.py. Lines come one by one, so that a test can act while it is under way."""

    def __init__(self, command: list[str], end_s: float) -> None:
        self._end_s = end_s
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        assert self._process.stdin
        self._process.stdin.write(SCRIPT.read_text())
        self._process.stdin.close()
        return self

    def line(self, what: str) -> Told:
        """The next line, which must be about `what`."""
        assert self._process.stdout
        text = self._process.stdout.readline()
        assert text, f"the visitor ended before it told about {what!r}: {self._complaint()}"
        told: Told = json.loads(text)
        assert told["what"] == what, told
        return told

    def _complaint(self) -> str:
        assert self._process.stderr
        return self._process.stderr.read()[-3000:]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        self._process.wait(ENDS_S)


class Visitors:
    """The pod. `buy`, `place`, ... run to their end; `visit` is for tests that act meanwhile."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        like = kubectl.one("deployment", "sandbox")  # for the image that has what a customer needs
        # Events that nothing signed go to doors directly; everything else goes through the gateway.
        kubectl.apply([pod(POD, like, settings=[], secrets=[], ways=["calls-doors"])])
        kubectl(
            "wait",
            "-n",
            NAMESPACE,
            "--for=condition=Ready",
            f"pod/{POD}",
            f"--timeout={STARTS_S:.0f}s",
            within_s=STARTS_S + 10,
        )

    def visit(self, what: str, **options: float | str) -> Visit:
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = ("exec", "-i", "-n", NAMESPACE, POD, "--", "python", "-", what, *arguments)
        return Visit(self._kubectl.command(*command), ENDS_S)

    def place(self, count: int = 1) -> list[Told]:
        """The answers to orders placed at once, with the seconds that each took."""
        with self.visit("place", count=count) as visit:
            answers: list[Told] = visit.line("answered")["answers"]
            assert len(answers) == count
            return answers

    def ask(self, path: str) -> Told:
        with self.visit("ask", path=path) as visit:
            return visit.line("answered")

    def event(self, url: str) -> Told:
        """The answer to an event without a signature."""
        with self.visit("event", url=url) as visit:
            return visit.line("answered")

    def buy(self, name: str) -> Told:
        """The order when it is paid."""
        with self.visit("buy", name=name) as visit:
            placed = visit.line("placed")
            assert placed["status"] in (201, 202), placed
            return visit.line("bought")

    def recipients(self) -> list[str]:
        with self.visit("mails") as visit:
            recipients: list[str] = visit.line("mails")["recipients"]
            return recipients
