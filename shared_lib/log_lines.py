"""Lines of a log on their way out: those of one turn of the event loop leave with one system call."""

from __future__ import annotations

import asyncio
import select
import threading
from typing import Final, TextIO

# POSIX: so many bytes reach a pipe in one piece, whatever other processes write to it.
BYTES_MAX: Final = select.PIPE_BUF


class LineWriter:
    """What structlog calls with a finished line, by its level.

    A line below `error` waits until the event loop has come round, beside the others of that turn: at most BYTES_MAX bytes.
    `error` and above, and any line outside a running loop, are written at once, behind those that wait. So a process that is
    killed loses the lines of one turn, and none of an error. Threads may share it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None  # it will call `flush`
        self._lock = threading.RLock()  # a signal handler or a finalizer may log while its own thread writes

    def info(self, line: str) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.error(line)
            return
        with self._lock:
            self._add(line)
            if self._loop is not loop:
                self._loop = loop
                loop.call_soon(self.flush)

    debug = warning = info

    def error(self, line: str) -> None:
        with self._lock:
            self._add(line)
            self._write()

    critical = error

    def flush(self) -> None:
        with self._lock:
            self._loop = None
            self._write()

    def _add(self, line: str) -> None:
        size = len(line.encode(errors="backslashreplace")) + 1
        if self._bytes + size > BYTES_MAX:
            self._write()
        self._waiting.append(line + "\n")
        self._bytes += size

    def _write(self) -> None:
        lines, self._waiting, self._bytes = self._waiting, [], 0
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()
