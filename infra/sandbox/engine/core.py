"""What every operation uses: settings, the simulated clock, one transaction at one instant, and the webhook format."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from infra.sandbox.engine.clock import SECOND_US, wall_us
from infra.sandbox.engine.database import Database, Row, Tx, set_setting, setting

CHECKOUT_LIFETIME_S = 24 * 3600
NATIVE = "native"
"""The sandbox's own face. Payments, saved methods and webhook endpoints belong to the face that made them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    data: Path
    public_url: str  # where the customer's browser finds the checkout page
    api_key: str = field(repr=False)
    merchant: str = "Boxoffice Cinema"
    speed: float = 1.0  # divides the waits between webhook attempts
    processing_s: float = 4.0  # how long slow cards and slow refunds take, on the simulated clock
    control: bool = True


class Change(StrEnum):
    """What the merchant is notified of."""

    PAYMENT = "payment"
    REFUND = "refund"
    METHOD_UPDATED = "method_updated"
    METHOD_DELETED = "method_deleted"


class Event(NamedTuple):
    """One webhook. `id` names it to the control surface, and in headers or body where the face has one there."""

    id: str
    type: str
    body: str  # what is sent and signed


class WebhookFormat(Protocol):
    """How webhooks look. The engine decides when they are sent; each face implements this."""

    def events(self, at: Moment, change: Change, row: Row) -> Sequence[Event]:
        """What the merchant is sent about it: none, one or several events.

        `row` is the changed payment, refund or method, after the change.
        """
        ...

    def headers(self, secret: str, event_id: str, timestamp_s: int, body: bytes) -> Mapping[str, str]:
        """The headers of one delivery, the signature among them."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One transaction at one instant: everything an operation may use."""

    tx: Tx
    now: int  # microseconds of the simulated clock
    config: Config
    webhooks: Mapping[str, WebhookFormat]  # by face
    face: str = NATIVE  # through which the call came: what it makes belongs to that face

    @property
    def processed_at(self) -> int:
        return self.now + int(self.config.processing_s * SECOND_US)


class Sandbox:
    """The running simulator. All state that matters is in the database; the rest may be lost with the process."""

    def __init__(self, config: Config, webhooks: Mapping[str, WebhookFormat]) -> None:
        self.config = config
        self.webhooks = webhooks
        self.db = Database(config.data)
        self.in_flight: set[str] = set()  # idempotency keys of calls that are running
        self.changed = asyncio.Event()  # there may be webhooks to send
        with self.db.transaction() as tx:
            self._offset_us = _as_int(setting(tx, "clock_offset_us"))

    @contextmanager
    def moment(self, face: str = NATIVE) -> Iterator[Moment]:
        with self.db.transaction() as tx:
            yield Moment(tx, self.now_us(), self.config, self.webhooks, face)
        self.changed.set()

    def now_us(self) -> int:
        return wall_us() + self._offset_us

    def advance(self, seconds: float) -> None:
        """Move the clock forward; the offset survives a restart."""
        offset_us = self._offset_us + int(seconds * SECOND_US)
        with self.db.transaction() as tx:
            set_setting(tx, "clock_offset_us", offset_us)
        self._offset_us = offset_us

    def reset(self) -> None:
        self.db.reset()
        self._offset_us = 0


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def _as_int(value: object) -> int:
    return value if isinstance(value, int) else 0
