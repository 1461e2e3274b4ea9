"""make logs: the log files of the local stack, one readable line per event, oldest first, then what is added."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from infra.local.console import Console, time_of
from infra.local.processes import StackError

TAIL_BYTES: Final = 256 * 1024
POLL_S: Final = 0.25


@dataclass(slots=True)
class LogFile:
    """A growing file, read a line at a time. A file that became shorter or was replaced is read from its beginning."""

    path: Path
    offset: int = 0
    inode: int = 0
    rest: bytes = field(default=b"", repr=False)

    def added(self) -> list[str]:
        """The complete lines that were written since the last call."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self.inode or status.st_size < self.offset:
                    self.offset, self.inode, self.rest = 0, status.st_ino, b""
                file.seek(self.offset)
                raw = file.read()
        except FileNotFoundError:
            return []
        self.offset += len(raw)
        *lines, self.rest = (self.rest + raw).split(b"\n")
        return [line.decode(errors="replace") for line in lines if line.strip()]

    def tail(self) -> list[str]:
        """The last lines, of at most TAIL_BYTES."""
        status = self.path.stat()
        self.inode, self.offset = status.st_ino, max(0, status.st_size - TAIL_BYTES)
        return self.added()[1 if self.offset > 0 and status.st_size > TAIL_BYTES else 0 :]


def follow(folder: Path, console: Console, names: Sequence[str], *, last: int, ends: bool) -> None:
    """Show the last lines of these processes, of all without names, then follow them unless `ends`.

    StackError when there are no logs, or none with one of the names.
    """
    files = {path.stem: LogFile(path) for path in sorted(folder.glob("*.log"))}
    if not files:
        raise StackError("No logs yet. Start the stack: make up (in containers: make up_all)")
    if unknown := [name for name in names if name not in files]:
        raise StackError(f"There is no log of {', '.join(unknown)}. There are: {', '.join(files)}")
    chosen = {name: file for name, file in files.items() if not names or name in names}
    shown = [entry for entry in _by_time(chosen) if console.shows(entry[2])]
    for at, name, line in shown[-last:]:
        console.line(name, line, at)
    if not shown and not ends:
        console.say(console.dim("Nothing happened yet; ticks that found nothing are not shown."))
    while not ends:
        time.sleep(POLL_S)
        now = datetime.now(UTC)
        added = [(time_of(line) or now, name, line) for name, file in chosen.items() for line in file.added()]
        for at, name, line in sorted(added):
            console.line(name, line, at)


def _by_time(files: dict[str, LogFile]) -> list[tuple[datetime, str, str]]:
    def dated(name: str, file: LogFile) -> Iterator[tuple[datetime, str, str]]:
        at = datetime.fromtimestamp(file.path.stat().st_ctime, UTC)
        for line in file.tail():
            at = time_of(line) or at  # a line without a time follows the one before it
            yield at, name, line

    return sorted(
        (entry for name, file in files.items() for entry in dated(name, file)), key=lambda entry: entry[0]
    )


def follow_until_interrupted(
    folder: Path, console: Console, names: Sequence[str], *, last: int, ends: bool
) -> int:
    """Like `follow`; Ctrl-C and a closed pipe (`make logs | head`) end it without an error."""
    try:
        follow(folder, console, names, last=last, ends=ends)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes at its end
    return 0
