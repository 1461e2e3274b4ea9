"""The stack's output on the terminal: one readable line per event, after the colored name of its process."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared_lib.contract.events import OUR_TICKS
from shared_lib.visible import on_one_line, say

NAME_WIDTH: Final = 12
LOG_BYTES_MAX: Final = 5_000_000
_COLORS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_BOLD, _DIM, _RED, _YELLOW = 1, 2, 31, 33
# Shown elsewhere in the line, or of no use on a terminal.
_HIDDEN: Final = frozenset(
    {"event", "level", "timestamp", "function", "trace", "method", "path", "status", "ms"}
)
# Colors of other programs, and log lines of web servers about startup and successful calls.
_PAINT: Final = re.compile(r"\x1b\[[0-9;]*m")
# What `paint` produces: colors, bold, dim. These sequences cannot move the cursor, hide text or write text.
_OWN_COLORS: Final = re.compile(r"\x1b\[(?:0|1|2|3[1-7]|9[1-7])m")
_ROUTINE: Final = re.compile(
    r'^\{"url": |Press CTRL\+C to quit|development server|^ \* Running on |HTTP/1\.[01]" [23]\d\d '
)
_PAINTED_LEVELS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


class Console:
    """`quiet` hides the lines of the processes; the log files have them in any case."""

    def __init__(self, logs: Path, *, quiet: bool = False) -> None:
        self._logs = logs
        self._quiet = quiet
        self._colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._known: dict[str, int] = {}

    def say(self, text: str = "") -> None:
        """Print a line of the stack itself."""
        say(text, colors=_OWN_COLORS)

    def warn(self, text: str) -> None:
        say(self.paint(text, _YELLOW), colors=_OWN_COLORS)

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

    def line(self, name: str, raw: str) -> None:
        """Show a line that a process wrote, unless it reports that nothing happened."""
        if self._quiet:
            return
        readable, level = _readable(raw)
        if readable is None:
            return
        color = self._known.setdefault(name, _COLORS[len(self._known) % len(_COLORS)])
        prefix = f"{datetime.now(UTC):%H:%M:%S} {self.paint(name.ljust(NAME_WIDTH), color)}"
        codes = [_PAINTED_LEVELS[level]] if level in _PAINTED_LEVELS else []
        say(f"{prefix} {self.paint(on_one_line(readable), *codes)}", colors=_OWN_COLORS)


def _readable(raw: str) -> tuple[str | None, str]:
    """The text and its level; no text for a line that is not worth showing."""
    try:
        entry = json.loads(raw)
    except ValueError:
        text = _PAINT.sub("", raw)
        return (None if _ROUTINE.search(text) else text), "info"
    if not isinstance(entry, dict) or "event" not in entry:
        return (None if _ROUTINE.search(raw) else raw), "info"
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
    words = [first, *(f"{name}={_short(value)}" for name, value in entry.items() if name not in hidden)]
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
