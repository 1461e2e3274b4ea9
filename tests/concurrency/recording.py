"""A provider that answers at once and writes every charge down, in one file for all processes. For tests only.

It obeys the contract of the port: one key is executed once and always answers the same, and can be found again.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks.instant import InstantProvider
from shared_lib.domain.money import Money
from shared_lib.providers.base import ChargeRequest, NotFound, PaymentRef, PaymentSnapshot, PaymentState

NAME: Final = "tests.concurrency.recording:RecordingProvider"
FILE: Final = "RECORDED_CHARGES"  # environment variable: where to write


class Record:
    """What was charged (once per key) and how often a caller asked for it (each call)."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS calls (key TEXT NOT NULL, pid INTEGER NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS charges"
            " (key TEXT PRIMARY KEY, order_id TEXT NOT NULL, minor INTEGER NOT NULL, currency TEXT NOT NULL)"
        )

    def charge(self, key: str, order_id: str, amount: Money) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO calls VALUES (?, ?)", (key, os.getpid()))
        row = (key, order_id, amount.minor, amount.currency)
        self._db.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?)", row)
        self._db.execute("COMMIT")

    def find(self, key: str) -> tuple[str, Money] | None:
        row = self._db.execute(
            "SELECT order_id, minor, currency FROM charges WHERE key = ?", (key,)
        ).fetchone()
        return (row[0], Money(row[1], row[2])) if row else None

    def count(self, what: str) -> int:
        found: int = self._db.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
        return found

    def calls_of(self, pid: int) -> int:
        """How often this process asked."""
        found: int = self._db.execute("SELECT count(*) FROM calls WHERE pid = ?", (pid,)).fetchone()[0]
        return found

    def orders_charged(self) -> int:
        return self.count("(SELECT DISTINCT order_id FROM charges)")

    def total_minor(self) -> int:
        found: int = self._db.execute("SELECT coalesce(sum(minor), 0) FROM charges").fetchone()[0]
        return found

    def close(self) -> None:
        self._db.close()


class RecordingProvider(InstantProvider):
    """Implements PaymentProvider for charges."""

    name = NAME

    def __init__(self) -> None:
        self._record = Record(Path(os.environ[FILE]))

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        self._record.charge(req.idempotency_key, req.order_id, req.amount)
        return self._taken(req.idempotency_key)

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:  # noqa: ARG002
        return self._taken(payment_id) if self._record.find(payment_id) else None

    async def fetch_payment(self, ref: PaymentRef) -> PaymentSnapshot:
        return self._taken(ref.provider_payment_id)

    def _taken(self, key: str) -> PaymentSnapshot:
        found = self._record.find(key)
        if found is None:
            raise NotFound(NAME, "unknown", f"nothing was charged under {key}")
        order_id, amount = found
        return PaymentSnapshot(
            ref=PaymentRef(provider=NAME, provider_payment_id=key),
            state=PaymentState.SUCCEEDED,
            amount=amount,
            captured=amount,
            refunded=Money(0, amount.currency),
            payment_id=key,
            order_id=order_id,
            livemode=False,
        )

    async def aclose(self) -> None:
        self._record.close()
