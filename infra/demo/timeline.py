"""The story on the terminal: the day, what a customer did, and the proof."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from infra.local.console import Console
from infra.local.processes import StackError

_GREEN, _RED, _CYAN = 32, 31, 36
INDENT: Final = " " * 10


class Timeline:
    """Days are counted on the test clock, from the beginning of this run."""

    def __init__(self, console: Console, day_zero: datetime) -> None:
        self._console = console
        self._day_zero = day_zero
        self._shown: int | None = None

    def day(self, now: datetime, what: str, *, apart: bool = True) -> None:
        """Print what happens. A new day is preceded by an empty line, unless `apart` is false."""
        number = (now - self._day_zero).days
        stamp = f"day {number:>4}  " if number != self._shown else INDENT
        if number != self._shown and apart:
            self._console.say()
        self._shown = number
        self._console.say(self._console.paint(stamp, _CYAN) + what)

    def proof(self, text: str, *, holds: bool = True) -> None:
        """Print what can be observed now. StackError when it is not what was expected."""
        if not holds:
            self._console.say(INDENT + self._console.paint(f"✗ {text}", _RED))
            raise StackError(f"The story failed: {text}")
        self._console.say(INDENT + self._console.paint("✓ ", _GREEN) + self._console.dim(text))


def shown(amount: dict[str, Any]) -> str:
    """Money as people write it."""
    return cents(amount["minor"], amount["currency"])


def cents(minor: int, currency: str = "EUR") -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02} {currency}"
