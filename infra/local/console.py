"""What the stack says on the terminal: one readable line per event, with the name of who said it in its own color."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared_lib.visible import on_one_line, say

NAME_WIDTH: Final = 12
LOG_BYTES_MAX: Final = 5_000_000
_COLORS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_BOLD, _DIM, _RED, _YELLOW = 1, 2, 31, 33
# Said elsewhere in the line, or by nobody's need.
_SILENT: Final = frozenset(
    {"event", "level", "timestamp", "function", "trace", "method", "path", "status", "ms"}
)
# Colors that are not ours, and what web servers say about themselves and about calls that went well.
_PAINT: Final = re.compile(r"\x1b\[[0-9;]*m")
# What `paint` makes: colors, bold, dim. None of them moves, hides or writes anything.
_OWN_COLORS: Final = re.compile(r"\x1b\[(?:0|1|2|3[1-7]|9[1-7])m")
_CHATTER: Final = re.compile(
    r'^\{"url": |Press CTRL\+C to quit|development server|^ \* Running on |HTTP/1\.[01]" [23]\d\d '
)
_LOUD: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


class Console:
    """`quiet` shows only what the stack itself says; everything is in the log files either way."""

    def __init__(self, logs: Path, *, quiet: bool = False) -> None:
        self._logs = logs
        self._quiet = quiet
        self._colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._known: dict[str, int] = {}

    def say(self, text: str = "") -> None:
        """A sentence of the stack's own."""
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
        """Where `name` is written to. An old file that has grown too long is put aside first."""
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path

    def tail(self, name: str, lines: int = 15) -> str:
        path = self._logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def line(self, name: str, raw: str) -> None:
        """One line a process wrote, made readable unless it says that nothing happened."""
        if self._quiet:
            return
        readable, level = _readable(raw)
        if readable is None:
            return
        color = self._known.setdefault(name, _COLORS[len(self._known) % len(_COLORS)])
        prefix = f"{datetime.now(UTC):%H:%M:%S} {self.paint(name.ljust(NAME_WIDTH), color)}"
        codes = [_LOUD[level]] if level in _LOUD else []
        say(f"{prefix} {self.paint(on_one_line(readable), *codes)}", colors=_OWN_COLORS)


def _readable(raw: str) -> tuple[str | None, str]:
    """The text and its level; no text for a line that nobody needs to see."""
    try:
        said = json.loads(raw)
    except ValueError:
        text = _PAINT.sub("", raw)
        return (None if _CHATTER.search(text) else text), "info"
    if not isinstance(said, dict) or "event" not in said:
        return (None if _CHATTER.search(raw) else raw), "info"
    level = str(said.get("level", "info"))
    if level == "info" and _nothing_happened(said):
        return None, level
    match said["event"]:
        case "request":
            told, first = (
                _SILENT,
                f"{said.get('method')} {said.get('path')} {said.get('status')} in {said.get('ms')} ms",
            )
        case "event":
            told = _SILENT | {"type", "id", "subject", "outcome"}
            first = f"{said.get('type')} {said.get('subject')}: {said.get('outcome')} in {said.get('ms')} ms"
        case name:
            told, first = _SILENT, str(name)
    words = [first, *(f"{name}={_short(value)}" for name, value in said.items() if name not in told)]
    return "  ".join(words), level


def _nothing_happened(said: dict[str, Any]) -> bool:
    """Ticks come every second or two, and mostly find nothing."""
    match said["event"]:
        case "renewals_claimed":
            return not said.get("payments")
        case "reconciled":
            return not any(said.get(name) for name in ("payments", "refunds", "webhooks", "keys"))
        case "event":
            return str(said.get("type", "")).startswith("billing.tick.") and said.get("outcome") == "done"
        case _:
            return False


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."
