"""A command on a terminal of its own, and what that terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from infra.local.processes import StackError

ROWS: Final = 40
UNTIL_S: Final = 300.0
_ERASED: Final = "\x1b[2K"


class Screen:
    """A context: the command runs in it, and is interrupted at its end if it still does."""

    def __init__(self, argv: Sequence[str], columns: int) -> None:
        self._ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
        self._process = subprocess.Popen(
            argv,
            stdin=its,
            stdout=its,
            stderr=its,
            env=own | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(its)
        self._raw = b""
        self._reading = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def text(self) -> str:
        """The lines as they stand now, with their colors: what was erased is gone."""
        lines = self._raw.decode(errors="replace").split("\r\n")
        return "\n".join(line.rpartition(_ERASED)[2] for line in lines)

    def until(self, text: str) -> None:
        """Wait until it shows `text`. StackError when it ends before, or after UNTIL_S."""
        deadline = time.monotonic() + UNTIL_S
        while text not in self.text:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"The command did not show {text!r}:\n{self.text}")
            time.sleep(0.05)

    def ends(self, timeout_s: float) -> None:
        """Wait until the command has ended. StackError unless it ended well."""
        if code := self._process.wait(timeout_s):
            raise StackError(f"The command ended with {code}:\n{self.text}")
        self._reading.join()

    def stop(self) -> None:
        """Press Ctrl-C, and wait until it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait()

    def _read(self) -> None:
        try:
            while part := os.read(self._ours, 65_536):
                self._raw += part
        except OSError:  # Linux reports the end of a terminal as an error
            pass
