"""The stack's output on the terminal: one readable line per event, after the colored name of its process."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared_lib.contract.events import OUR_TICKS
from shared_lib.visible import on_one_line, say

NAME_WIDTH: Final = 12
INDENT: Final = len("00:00:00 ") + NAME_WIDTH + 1
LOG_BYTES_MAX: Final = 5_000_000
_COLORS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_BOLD, _DIM, _RED, _YELLOW = 1, 2, 31, 33
# Shown elsewhere in the line, or of no use on a terminal: the files have them.
_HIDDEN: Final = frozenset(
    {"event", "level", "timestamp", "function", "trace", "method", "path", "status", "ms"}
    | {"request_id", "scope"}
)
# Colors of other programs, and log lines of web servers about startup and successful calls.
_PAINT: Final = re.compile(r"\x1b\[[0-9;]*m")
# What `paint` produces: colors, bold, dim. These sequences cannot move the cursor, hide text or write text.
_OWN_COLORS: Final = re.compile(r"\x1b\[(?:0|1|2|3[1-7]|9[1-7])m")
_ROUTINE: Final = re.compile(
    r'^\{"url": |Press CTRL\+C to quit|development server|^ \* Running on |HTTP/1\.[01]" [23]\d\d '
)
# Redis or Valkey about its own start and end, also the kernel's memory settings, which matter to larger ones.
_OF_REDIS: Final = re.compile(r"\d{1,9}:(?:[CMS] |signal-handler )")
_ROUTINE_OF_REDIS: Final = (
    "signal-handler ", "oO0Oo", "Redis version=", "Valkey version=", "Configuration loaded", "monotonic clock",
    "Running mode=", "Module", "Server initialized", "overcommit_memory", "Ready to accept connections",
    "User requested shutdown", "Redis is now ready to exit", "Valkey is now ready to exit",
)  # fmt: skip
_ERASE_LINE: Final = "\r\x1b[2K"  # and go to its beginning
_OWN_ERASING: Final = re.compile(re.escape(_ERASE_LINE))
_PAINTED_LEVELS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


class Console:
    """`quiet` hides the lines of the processes; the log files have them in any case."""

    def __init__(self, logs: Path, *, quiet: bool = False) -> None:
        self._logs = logs
        self._quiet = quiet
        self.is_starting = (
            False  # doors wait for their tables and say so: what is said meanwhile is in the files alone
        )
        self.on_terminal = sys.stdout.isatty()
        self._colored = self.on_terminal and "NO_COLOR" not in os.environ
        self._known: dict[str, int] = {}
        self._status = ""
        self._writing = threading.RLock()  # the seconds of a status are counted by a thread

    def say(self, text: str = "") -> None:
        """Print a line of the stack itself."""
        with self._writing:
            self.forget_status()
            say(text, colors=_OWN_COLORS)

    def warn(self, text: str) -> None:
        self.say(self.paint(text, _YELLOW))

    def status(self, text: str) -> None:
        """Show what is waited for in a line that the next output replaces. Only a terminal shows it."""
        if not self.on_terminal:
            return
        with self._writing:
            columns = shutil.get_terminal_size().columns
            self._status = on_one_line(text)[: columns - 1]
            say(_ERASE_LINE + self._status, colors=_OWN_ERASING, end="")

    def forget_status(self) -> None:
        with self._writing:
            if self._status:
                say(_ERASE_LINE, colors=_OWN_ERASING, end="")
            self._status = ""

    @property
    def columns(self) -> int:
        """How wide a line may be; off a terminal, as wide as it is."""
        return shutil.get_terminal_size().columns if self.on_terminal else sys.maxsize

    def bold(self, text: str) -> str:
        return self.paint(text, _BOLD)

    def dim(self, text: str) -> str:
        return self.paint(text, _DIM)

    def paint(self, text: str, *codes: int) -> str:
        return f"\033[{';'.join(map(str, codes))}m{text}\033[0m" if self._colored and codes else text

    def log_file(self, name: str) -> Path:
        """The log file of a process. A file above LOG_BYTES_MAX is renamed first."""
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path

    def tail(self, name: str, lines: int = 15) -> str:
        path = self._logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def shows(self, raw: str) -> bool:
        """Whether `line` would show this line: it is not routine and reports that something happened."""
        return not self._quiet and _readable(raw)[0] is not None

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Processes are quiet meanwhile: doors wait for their tables, and say so."""
        was_quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = was_quiet

    def line(self, name: str, raw: str, at: datetime | None = None) -> None:
        """Show a line that a process wrote, unless it reports that nothing happened. `at` is when it was written, by default now."""
        if self._quiet:
            return
        readable, level = _readable(raw)
        if readable is None:
            return
        color = self._known.setdefault(name, _COLORS[len(self._known) % len(_COLORS)])
        prefix = f"{at or datetime.now(UTC):%H:%M:%S} {self.paint(name.ljust(NAME_WIDTH), color)}"
        codes = [_PAINTED_LEVELS[level]] if level in _PAINTED_LEVELS else []
        for part in _folded(on_one_line(readable), self.columns - INDENT):
            self.say(f"{prefix} {self.paint(part, *codes)}")
            prefix = " " * (INDENT - 1)


def time_of(line: str) -> datetime | None:
    """The time of a JSON line, or None."""
    try:
        return datetime.fromisoformat(json.loads(line)["timestamp"])
    except (ValueError, TypeError, KeyError):
        return None


def _folded(text: str, width: int) -> Iterator[str]:
    """The text in lines of at most `width` if its words allow that. Off a terminal it stays one line."""
    if len(text) <= width:
        yield text
        return
    line, *parts = text.split("  ")
    for part in parts:
        if len(line) + 2 + len(part) > width:
            yield line
            line = part
        else:
            line += f"  {part}"
    yield line


def _readable(raw: str) -> tuple[str | None, str]:
    """The text and its level; no text for a line that is not worth showing."""
    try:
        entry = json.loads(raw)
    except ValueError:
        text = _PAINT.sub("", raw)
        return (None if _is_routine(text) else text), "info"
    if not isinstance(entry, dict) or "event" not in entry:
        return (None if _is_routine(raw) else raw), "info"
    level = str(entry.get("level", "info"))
    if level == "info" and _nothing_happened(entry):
        return None, level
    match entry["event"]:
        case "request":
            hidden, first = (
                _HIDDEN,
                f"{entry.get('method')} {entry.get('path')} {entry.get('status')} in {entry.get('ms')} ms",
            )
        case "event":
            hidden = _HIDDEN | {"type", "id", "subject", "outcome"}
            first = (
                f"{entry.get('type')} {entry.get('subject')}: {entry.get('outcome')} in {entry.get('ms')} ms"
            )
        case name:
            hidden, first = _HIDDEN, str(name)
    more = {name: value for name, value in entry.items() if name not in hidden and value is not None}
    words = [first, *(f"{name}={_short(value)}" for name, value in more.items())]
    return "  ".join(words), level


def _nothing_happened(entry: dict[str, Any]) -> bool:
    """Whether the event reports a tick without work; ticks come every second or two."""
    match entry["event"]:
        case "renewals_claimed":
            return not entry.get("payments")
        case "reconciled":
            return not any(entry.get(name) for name in ("payments", "refunds", "webhooks", "keys"))
        case "event":
            return str(entry.get("type", "")).startswith(OUR_TICKS) and entry.get("outcome") == "done"
        case _:
            return False


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _is_routine(line: str) -> bool:
    """Another program says that it starts, ends or was called with success."""
    if _OF_REDIS.match(line):
        return any(words in line for words in _ROUTINE_OF_REDIS)
    return _ROUTINE.search(line) is not None
