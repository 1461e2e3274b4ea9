"""Shared by the commands: what a command says, tables, a connection, who repairs, and errors that say what to do."""

from __future__ import annotations

import getpass
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import psycopg
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shared_lib.addresses import database_address
from shared_lib.domain.money import Money
from shared_lib.settings import Settings
from shared_lib.store import repairs
from shared_lib.store.repairs import Repair
from shared_lib.visible import on_one_line, say, visible

Connection = psycopg.Connection[tuple[Any, ...]]


# Rich's own colors. Every text is made visible before Rich styles it, so no other text can hold one.
_COLORS: Final = re.compile("\x1b\\[[0-9;]*m")
_WIDE: Final = 100_000  # where no person reads, a line is a line
GAP: Final = 2  # between two columns
INDENT: Final = 4  # of what does not fit on a row's first line
FOLDED_MIN: Final = 30  # a last column is folded to no less


@dataclass(frozen=True, slots=True)
class Output:
    """What a command found: parts to print one below the other, the same as JSON, and whether all is well."""

    parts: Sequence[RenderableType]
    data: object
    well: bool = True

    @property
    def text(self) -> str:
        """The parts as a file or a pipe gets them."""
        return rendered(self.parts)

    def show(self, *, as_json: bool) -> None:
        if as_json:
            # ASCII alone: what `say` would escape is escaped as JSON wants it.
            say(json.dumps(self.data, indent=2, default=_in_json))
        else:
            say(rendered(self.parts, sys.stdout), colors=_COLORS)


def rendered(parts: Sequence[RenderableType], to: TextIO | None = None) -> str:
    """The parts as text; with colors, and folded to its width, if `to` is a terminal."""
    terminal = to is not None and to.isatty()
    console = Console(
        file=io.StringIO(),
        width=shutil.get_terminal_size().columns if terminal else _WIDE,
        force_terminal=terminal,
        no_color="NO_COLOR" in os.environ,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(words(part) if isinstance(part, str) else part)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def words(text: str, style: str = "") -> Text:
    """Text to print, in a style of Rich; what comes from outside is made visible and cannot style itself."""
    return Text(visible(text), style=style)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Rows:
    """A table with columns as wide as their contents."""
    shown = [["-" if cell is None else on_one_line(str(cell)) for cell in row] for row in rows]
    return Rows([on_one_line(header) for header in headers], shown)


class Rows:
    """A table. Where the terminal is too narrow for it, each row takes several lines, the same columns on each."""

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._headers = headers
        self._rows = rows
        self._widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        lines = self._lines(options.max_width)
        for n, row in enumerate([self._headers, *self._rows]):
            for line in lines:
                if line == lines[0] or any(row[m] for m in line):
                    yield self._line(row, line, style="" if n else "bold")

    def _lines(self, width: int) -> list[list[int]]:
        """The columns of each line, by number. The last column may be folded if that leaves it FOLDED_MIN."""
        lines: list[list[int]] = [[]]
        for n, wide in enumerate(self._widths):
            room = width - self._before(lines[-1])
            needed = min(wide, FOLDED_MIN) if n == len(self._widths) - 1 else wide
            if needed > room and lines[-1]:
                lines.append([])
            lines[-1].append(n)
        return lines

    def _before(self, columns: Sequence[int]) -> int:
        indent = 0 if not columns or columns[0] == 0 else INDENT
        return indent + sum(self._widths[n] + GAP for n in columns)

    def _line(self, row: Sequence[str], columns: Sequence[int], style: str) -> RenderableType:
        line = Table.grid(padding=(0, GAP, 0, 0))
        for n in columns:
            line.add_column(width=None if n == columns[-1] else self._widths[n], overflow="fold")
        line.add_row(*(Text(row[n], style=style) for n in columns))
        return Padding(line, (0, 0, 0, INDENT if columns[0] else 0))


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Shows on a terminal that something is waited for, on a line that is gone afterwards; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(file=sys.stderr, legacy_windows=False).status(words(f"Waiting for {what}")):
        yield


def more(rows: Sequence[Sequence[object]], rows_max: int) -> list[str]:
    """A line that says how a list goes on, below a list that may be longer; the first column is the id."""
    return [f"There may be older ones: --before {rows[-1][0]}"] if len(rows) == rows_max else []


def by_name(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    """The rows of a table for --json."""
    return [dict(zip(headers, row, strict=True)) for row in rows]


def _in_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


class CannotError(Exception):
    """The command cannot be executed. The text is shown to its user."""


def database_url() -> str:
    url = os.environ.get("BOXOFFICE_DATABASE_URL")
    if not url:
        raise CannotError("Set BOXOFFICE_DATABASE_URL, as .env.example shows.")
    try:
        return database_address(url)
    except ValueError as error:
        raise CannotError(f"BOXOFFICE_DATABASE_URL: {error}.") from None


def kafka_bootstrap() -> list[str]:
    """The brokers' addresses; empty without Kafka."""
    named = os.environ.get("BOXOFFICE_KAFKA_BOOTSTRAP", "").split(",")
    return [address.strip() for address in named if address.strip()]


def provider_names() -> list[str]:
    named = os.environ.get("BOXOFFICE_PROVIDERS") or "sandbox"
    return [name.strip() for name in named.split(",") if name.strip()]


def environment() -> str:
    return os.environ.get("BOXOFFICE_ENVIRONMENT") or Settings.model_fields["environment"].default


@contextmanager
def connected(url: str | None = None) -> Iterator[Connection]:
    """A connection with one transaction, committed at the end. Raises CannotError when the database does not answer."""
    try:
        connection = psycopg.connect(
            url or database_url(), connect_timeout=3, application_name="boxoffice-cli"
        )
    except psycopg.OperationalError as error:
        raise CannotError(f"The database does not answer: {str(error).splitlines()[0]}") from None
    except psycopg.ProgrammingError:  # its text repeats the URL, which may contain a password
        raise CannotError("BOXOFFICE_DATABASE_URL cannot be read.") from None
    with connection:
        yield connection


def repair_by(named: str | None, verb: str, because: str | None = None) -> Repair:
    """A repair by the person whom `--as` names, else by the user of this machine."""
    try:
        user = named or getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        user = f"uid {os.getuid()}"
    return Repair(made_by=user, verb=verb, because=because)


def note(db: Connection, repair: Repair, *targets: str) -> None:
    """Write the repair of each target, in the transaction of its effect. Support's role may not."""
    for target in targets:
        db.execute(repairs.INSERT.encode(), repair.row(target))


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def money(minor: int, currency: str) -> str:
    return str(Money(minor, currency))


def amount(minor: int, currency: str) -> dict[str, object]:
    """Money for --json."""
    return {"minor": minor, "currency": currency}
