"""Dead letters: records that no door takes, in a topic that keeps them for ever.

A letter is the original record with headers that say what became of it: Knative's (`ce_knativeerror...`), so that tools
for its dead letters read ours, and our own (`dead_...`) about where the record stood.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kafka import KafkaProducer

from shared_lib.workers.kafka_client import servers
from shared_lib.workers.trigger.delivery import KEPT_OF_ANSWER, Failure
from shared_lib.workers.trigger.envelope import Headers, Record

_KNATIVE: Final = "ce_knativeerror"
_KNATIVE_OWN: Final = "ce_kne"
_OURS: Final = "dead_"
# Of a record that only says: the letter at this offset was sent again.
REPLAYED: Final = "dead_replayed"

BLOCKED_MAX_S: Final = 5.0
WRITTEN_MAX_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a record is dead. `url`, `status` and `said` are those of the door, where one was asked."""

    reason: str
    url: str = ""
    status: int | None = None
    said: bytes = b""
    extensions: Sequence[tuple[str, bytes]] = ()

    @staticmethod
    def of(failure: Failure) -> Cause:
        return Cause(
            reason=failure.reason,
            url=failure.url,
            status=failure.status,
            said=failure.said if failure.status else b"",
            extensions=tuple(failure.extensions.items()),
        )


def letter_headers(record: Record, cause: Cause, now: datetime) -> list[tuple[str, bytes]]:
    """The original's headers and why it is dead. The error code is absent where nobody answered."""
    headers = original_headers(record.headers)
    if cause.url:
        headers.append((f"{_KNATIVE}dest", cause.url.encode()))
    if cause.status is not None:
        headers.append((f"{_KNATIVE}code", str(cause.status).encode()))
        headers.append((f"{_KNATIVE}data", base64.b64encode(cause.said[:KEPT_OF_ANSWER])))
    headers += [(f"ce_{name}", value) for name, value in cause.extensions]
    ours = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": _instant(record.timestamp_ms),
        "at": now.isoformat(timespec="milliseconds"),
        "reason": cause.reason,
    }
    return headers + [(_OURS + name, str(value).encode()) for name, value in ours.items()]


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """Without whatever says why a letter died."""
    return [pair for pair in headers if not pair[0].lower().startswith((_KNATIVE, _KNATIVE_OWN, _OURS))]


def content(record: Record) -> bytes | None:
    """Its value; kafka-python refuses a record with neither key nor value."""
    return b"" if record.key is None and record.value is None else record.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter as its topic holds it."""

    offset: int
    record: Record
    headers: dict[str, str]

    @property
    def origin(self) -> tuple[str, str, str]:
        """Where the record stood: two letters of one origin are the same, written twice."""
        said = self.headers.get
        return said("dead_topic", ""), said("dead_partition", ""), said("dead_offset", "")


def read_letter(record: Record) -> Letter | int:
    """A letter; or the offset of the letter that was sent again, when the record is such a mark."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    if REPLAYED in headers:
        return int(headers[REPLAYED])
    return Letter(offset=record.offset, record=record, headers=headers)


def _instant(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")


class DeadLetters:
    """Writes letters. Returning from `write` means that the broker has acknowledged."""

    def __init__(self, bootstrap: Sequence[str], topic: str, *, blocked_max_s: float = BLOCKED_MAX_S) -> None:
        self._bootstrap = list(bootstrap)
        self._blocked_max_ms = int(blocked_max_s * 1000)
        self._topic = topic
        self._producer: KafkaProducer | None = None
        # Its methods block; one thread, so that only one producer is ever made.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dead-letters")

    async def write(self, record: Record, cause: Cause) -> None:
        """Raises KafkaError. What was not acknowledged may still have been written: letters may come twice."""
        headers = letter_headers(record, cause, datetime.now(UTC))
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, record, headers)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _write(self, record: Record, headers: list[tuple[str, bytes]]) -> None:
        if self._producer is None:
            self._producer = KafkaProducer(
                **servers(self._bootstrap),
                client_id="boxoffice-trigger",
                acks="all",
                # A letter that comes twice does no harm, and without it nothing has to be repaired after an outage.
                enable_idempotence=False,
                bootstrap_timeout_ms=int(BLOCKED_MAX_S * 1000),
                max_block_ms=self._blocked_max_ms,
                request_timeout_ms=int(BLOCKED_MAX_S * 1000),
                delivery_timeout_ms=int(2 * BLOCKED_MAX_S * 1000),
                allow_auto_create_topics=False,
            )
        sent = self._producer.send(self._topic, key=record.key, value=content(record), headers=headers)
        sent.get(WRITTEN_MAX_S)

    def _close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=1)
