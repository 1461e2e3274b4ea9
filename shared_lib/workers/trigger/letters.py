"""Dead letters: records that no door takes, in a topic without an end of retention.

A letter is the original record with headers about its failure: Knative's (`ce_knativeerror...`), so that tools for its
dead letters read ours, and our own (`dead_...`) with the record's topic, partition and offset.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from kafka import KafkaProducer

from shared_lib.contract.events import topic_of
from shared_lib.domain.values import Value
from shared_lib.workers.kafka_client import servers
from shared_lib.workers.trigger.delivery import KEPT_OF_ANSWER, Failure
from shared_lib.workers.trigger.envelope import Headers, Record

_KNATIVE: Final = "ce_knativeerror"
_KNATIVE_OWN: Final = "ce_kne"
_OURS: Final = "dead_"
# The type a KafkaSource gives to a record that is no CloudEvent; the event's source ends in # and the topic.
_WRAPPED: Final = "dev.knative.kafka.event"
# Header of a mark: the letter at this offset was sent again.
REPLAYED: Final = "dead_replayed"
# Beside it: the letter was dismissed and not sent, and why.
DISMISSED: Final = "dead_dismissed"

BLOCKED_MAX_S: Final = 5.0
WRITTEN_MAX_S: Final = 15.0


class Cause(Value, kw_only=True):
    """Why a record is dead. `url`, `status` and `said` are the door's, if the record was sent to one."""

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
    """The original's headers, and why it is dead. The error code is absent when no answer came."""
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
    # An event's own text may be in the reason, half a surrogate pair included.
    return headers + [
        (_OURS + name, str(value).encode(errors="backslashreplace")) for name, value in ours.items()
    ]


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers without those that a dead letter adds."""
    return [pair for pair in headers if not pair[0].lower().startswith((_KNATIVE, _KNATIVE_OWN, _OURS))]


def content(record: Record) -> bytes | None:
    """The record's value, never None without a key: kafka-python refuses a record with neither."""
    return b"" if record.key is None and record.value is None else record.value


class Letter(Value, kw_only=True):
    """A dead letter as its topic holds it."""

    offset: int
    record: Record
    headers: dict[str, str]

    @property
    def origin(self) -> tuple[str, str, str]:
        """Topic, partition and offset of the record: two letters of one origin are one letter written twice.

        A KafkaSource does not record them, so each of its letters is its own origin.
        """
        said = self.headers.get
        if "dead_topic" not in self.headers:
            return "", "", str(self.offset)
        return said("dead_topic", ""), said("dead_partition", ""), said("dead_offset", "")

    @property
    def topic(self) -> str:
        """The topic the record came from and is replayed to. For a KafkaSource's letter it follows from the event's type."""
        said, kind = self.headers.get, self.headers.get("ce_type", "")
        if topic := said("dead_topic"):
            return topic
        if kind == _WRAPPED:
            return said("ce_source", "").rpartition("#")[2]
        return topic_of(kind)

    @property
    def key(self) -> bytes | None:
        """The record's key. A KafkaSink drops it; it is the customer whom the event is about."""
        if self.record.key is not None or "dead_topic" in self.headers:
            return self.record.key
        try:
            data = json.loads(self.record.value or b"")
        except ValueError:
            return None
        customer = data.get("customer_id") if isinstance(data, dict) else None
        return customer.encode() if isinstance(customer, str) and customer else None

    @property
    def died_at(self) -> datetime:
        """For a KafkaSource's letter, the time at which the letter was written."""
        if at := self.headers.get("dead_at"):
            return datetime.fromisoformat(at)
        return datetime.fromtimestamp(self.record.timestamp_ms / 1000, UTC)

    @property
    def reason(self) -> str:
        """Why the record is dead: our reason, or what Knative's headers say."""
        said = self.headers.get
        if reason := said("dead_reason"):
            return reason
        if code := said(f"{_KNATIVE}code"):
            return f"answered {code}: {_decoded(said(f'{_KNATIVE}data', ''))}"
        return "did not answer" if said(f"{_KNATIVE}dest") else ""


def read_letter(record: Record) -> Letter | int:
    """A letter; or, for a mark, the offset of the letter that was sent again."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    if REPLAYED in headers:
        return int(headers[REPLAYED])
    return Letter(offset=record.offset, record=record, headers=headers)


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode(errors="replace")
    except ValueError:
        return data


def _instant(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")


class DeadLetters:
    """Writes letters. Returning from `write` means that the broker has acknowledged the letter."""

    def __init__(self, bootstrap: Sequence[str], topic: str, *, blocked_max_s: float = BLOCKED_MAX_S) -> None:
        self._bootstrap = list(bootstrap)
        self._blocked_max_ms = int(blocked_max_s * 1000)
        self._topic = topic
        self._producer: KafkaProducer | None = None
        # The producer blocks; one thread, so that only one producer is made.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dead-letters")

    async def write(self, record: Record, cause: Cause) -> None:
        """Raises KafkaError. A letter that was not acknowledged may still have been written: duplicates are possible."""
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
                # A duplicate letter does no harm, and without idempotence an outage leaves no state to repair.
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
