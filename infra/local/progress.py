"""What a command is waiting for: one line that counts the seconds on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

from infra.local.console import Console

REFRESH_S: Final = 0.25
QUIET_S: Final = 2.0  # off a terminal, shorter waits are not worth a line


class Progress:
    """A context: `step` says what is waited for now. A thread counts, because some steps block the event loop."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._step = ""
        self._began = self._said = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._console.forget_status()

    def step(self, what: str) -> None:
        """From now on, `what` is waited for."""
        self._step = what

    def _count(self) -> None:
        while True:
            now = time.monotonic()
            if self._console.on_terminal:
                self._console.status(f"{self._title} {now - self._began:3.0f} s  {self._step}")
            elif now - self._said > QUIET_S and self._step:
                self._said = now
                self._console.say(f"{self._title} {now - self._began:.0f} s: {self._step}")
            if self._over.wait(REFRESH_S):
                return
