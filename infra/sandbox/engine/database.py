"""SQLite in WAL mode: every answer is committed before it is sent, and commits survive a killed process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Tx: TypeAlias = sqlite3.Connection
Row: TypeAlias = sqlite3.Row

_SCHEMA = Path(__file__).with_name("schema.sql")
# What databases of older versions lack.
_ADDED = (
    ("payments", "face TEXT NOT NULL DEFAULT 'native'"),
    ("payments", "authorized_until INTEGER"),
    ("methods", "face TEXT NOT NULL DEFAULT 'native'"),
    ("endpoints", "face TEXT NOT NULL DEFAULT 'native'"),
    ("events", "face TEXT NOT NULL DEFAULT 'native'"),
)
_KEPT_BY_RESET = ("endpoints", "sqlite_sequence")


class Database:
    """One connection, used from the event loop's thread alone: no transaction awaits."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(data / "sandbox.sqlite3", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA.read_text())
        self._add_columns()

    def _add_columns(self) -> None:
        for table, column in _ADDED:
            has = {row["name"] for row in self._connection.execute(f"PRAGMA table_info({table})")}
            if column.split()[0] not in has:
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def reset(self) -> None:
        """Delete everything but the webhook endpoints."""
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        self._connection.execute("PRAGMA foreign_keys = OFF")
        with self.transaction() as tx:
            for (name,) in tables:
                if name not in _KEPT_BY_RESET:
                    tx.execute(f"DROP TABLE {name}")
        self._connection.executescript(_SCHEMA.read_text())
        self._connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        self._connection.close()


def one(tx: Tx, sql: str, *values: object) -> Row | None:
    row: Row | None = tx.execute(sql, values).fetchone()
    return row


def many(tx: Tx, sql: str, *values: object) -> list[Row]:
    return tx.execute(sql, values).fetchall()


def setting(tx: Tx, name: str) -> object:
    row = one(tx, "SELECT value FROM settings WHERE name = ?", name)
    return None if row is None else json.loads(row["value"])


def set_setting(tx: Tx, name: str, value: object) -> None:
    tx.execute(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, json.dumps(value)),
    )
