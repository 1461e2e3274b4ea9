"""Shared by the commands: a connection, tables, and errors that say what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg

from shared_lib.domain.money import Money
from shared_lib.settings import Settings, database_address
from shared_lib.visible import on_one_line

Connection = psycopg.Connection[tuple[Any, ...]]


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


def printed(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with columns as wide as their contents."""
    lines = [
        [on_one_line(str(cell)) if cell is not None else "-" for cell in row] for row in (headers, *rows)
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def money(minor: int, currency: str) -> str:
    return str(Money(minor, currency))
