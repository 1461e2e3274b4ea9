"""What every operation stands on: settings, the sandbox's clock, one transaction at one instant, refusals."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.sandbox.database import Database, Tx, set_setting, setting

SECOND_US = 1_000_000
KEY_LIFETIME_US = 24 * 3600 * SECOND_US
CHECKOUT_LIFETIME_S = 24 * 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    data: Path
    public_url: str  # where the customer's browser finds the checkout page
    api_key: str = field(repr=False)
    merchant: str = "Boxoffice Cinema"
    speed: float = 1.0  # divides the waits between webhook attempts
    processing_s: float = 4.0  # how long slow cards and slow refunds take, by the sandbox's clock
    control: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """One transaction at one instant: everything an operation may lean on."""

    tx: Tx
    now: int  # microseconds of the sandbox's clock
    config: Config

    @property
    def processed_at(self) -> int:
        return self.now + int(self.config.processing_s * SECOND_US)


class Sandbox:
    """The running simulator. All state that matters is in the database; the rest may die with the process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.db = Database(config.data)
        self.in_flight: set[str] = set()  # idempotency keys being answered
        self.news = asyncio.Event()  # there may be webhooks to send
        with self.db.transaction() as tx:
            self._offset_us = _as_int(setting(tx, "clock_offset_us"))

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        with self.db.transaction() as tx:
            yield Moment(tx, self.now_us(), self.config)
        self.news.set()

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self._offset_us

    def advance(self, seconds: float) -> None:
        """Move the clock forward for good; it survives a restart."""
        offset_us = self._offset_us + int(seconds * SECOND_US)
        with self.db.transaction() as tx:
            set_setting(tx, "clock_offset_us", offset_us)
        self._offset_us = offset_us

    def reset(self) -> None:
        self.db.reset()
        self._offset_us = 0


class Refused(Exception):  # noqa: N818  # a refusal is an answer
    """The call is answered with an error. Nothing was written."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message, "param": param}}


def wall_s() -> float:
    """Seconds of the real clock: waits between webhook attempts do not follow the simulated time."""
    return time.time_ns() / 1e9


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def iso(instant_us: int | None) -> str | None:
    if instant_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=instant_us)).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """Microseconds. Raises ValueError for anything that is not an instant with an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _as_int(value: object) -> int:
    return value if isinstance(value, int) else 0
