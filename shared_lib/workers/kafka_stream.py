"""A producer that keeps order without exception: it sends nothing after its first failure.

kafka-python retries transient errors, and its idempotence drops duplicates. But when it gives up a batch, it continues
with the next one under a new epoch, and a customer's second event overtakes the first. So here the producer never gives up
a batch (no delivery timeout), a partition has one batch in flight at a time (retries of several are queued in the wrong
order), and a batch that fails for good stops the whole producer, from within its own thread, before the next one is sent.
The relay then reads the outbox again and starts with the event that failed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import (
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.partitioner.default import murmur2

from shared_lib.billing.facts import instant
from shared_lib.domain.errors import Transient
from shared_lib.events.incoming import kafka_record
from shared_lib.store.outbox import OutboxRow
from shared_lib.workers.kafka_client import opened, servers

BOOTSTRAP_TIMEOUT_MS: Final = 5_000
METADATA_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 10_000
NEVER_MS: Final = 2**31 - 1
# A larger record is a batch of its own, so the broker never asks for a batch to be split.
BATCH_BYTES: Final = 64 * 1024
RECORD_BYTES_MAX: Final = 1_000_000
CLOSE_TIMEOUT_S: Final = 5.0

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


@lru_cache(maxsize=65_536)
def hash_of(key: bytes) -> int:
    """The hash by which Kafka's clients in every language choose a partition. Cached: in Python it is a third of a record's cost."""
    return int(murmur2(key)) & 0x7FFFFFFF


class StreamError(Transient):
    """The broker accepts nothing now, and this producer has stopped for good."""


@dataclass(slots=True)
class Flight:
    """Records handed to the producer together, in their order."""

    waiting: list[tuple[int, Any]] = field(default_factory=list)  # row id, future
    refused: dict[int, str] = field(default_factory=dict)
    left_behind: set[str] = field(default_factory=set)  # topics that do not exist


class Fate(NamedTuple):
    """The result of a flight. `error` is the first one; a row in neither collection may or may not have reached the broker."""

    acknowledged: list[int]
    refused: dict[int, str]
    error: Exception | None


class Stream:
    """Blocking: one thread sends, others wait. Must not be used across a fork."""

    def __init__(self, bootstrap: Sequence[str]) -> None:
        """Connect. Raises StreamError when no broker answers within 5 s."""
        self.stopped_by: Exception | None = None
        self._culprit: int | None = None  # the row whose failure came first
        self._partitions: dict[str, int] = {}  # topic -> how many
        try:
            self._producer = opened(
                KafkaProducer,
                **servers(bootstrap),
                client_id="boxoffice-relay",
                acks="all",
                enable_idempotence=True,
                max_in_flight_requests_per_connection=1,
                delivery_timeout_ms=NEVER_MS,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                max_block_ms=METADATA_TIMEOUT_MS,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
                reconnect_backoff_max_ms=1_000,
                batch_size=BATCH_BYTES,
                max_request_size=RECORD_BYTES_MAX,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise StreamError(f"no broker: {error}") from error

    def send(self, rows: Sequence[OutboxRow]) -> Flight:
        """Hand rows to the producer, in order. Those of a topic that does not exist are left behind."""
        flight = Flight()
        for row in rows:
            if row.topic in flight.left_behind:
                continue
            if row.topic not in self._partitions and not self._exists(row.topic):
                flight.left_behind.add(row.topic)
                continue
            try:
                future = self._send(row)
            except TOO_LARGE as error:
                flight.refused[row.row_id] = f"{type(error).__name__}: {error}"
            except (TypeError, ValueError, AssertionError) as error:  # the client will not write it as it is
                flight.refused[row.row_id] = f"{type(error).__name__}: {error}"
            except KafkaError as error:
                self.stop(error)
                break
            else:
                future.add_errback(partial(self._failed, row.row_id))
                flight.waiting.append((row.row_id, future))
        return flight

    def _send(self, row: OutboxRow) -> Any:
        key, value, headers = kafka_record(
            event_id=row.event_id,
            kind=row.type,
            subject=row.subject,
            partition_key=row.partition_key,
            time_=instant(row.created_at) or "",
            data=row.data,
            sequence=row.sequence,
            traceparent=row.traceparent,
        )
        partition = hash_of(key) % self._partitions[row.topic]
        return self._producer.send(row.topic, value=value, key=key, headers=headers, partition=partition)

    def _exists(self, topic: str) -> bool:
        try:
            found = len(self._producer.partitions_for(topic))
        except KafkaError:
            return False
        if found:
            self._partitions[topic] = found
        return found > 0

    def wait(self, flight: Flight, timeout_s: float) -> Fate:
        """Wait until everything of a flight is acknowledged or has failed. Stops the producer after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        acknowledged: list[int] = []
        refused = dict(flight.refused)
        error: Exception | None = None
        for row_id, future in flight.waiting:
            try:
                future.get(max(0.0, deadline - time.monotonic()))
            except TOO_LARGE as too_large:
                if row_id == self._culprit:  # the client fails others with the last error it has
                    refused[row_id] = f"{type(too_large).__name__}: {too_large}"
                error = error or too_large
            except KafkaTimeoutError as late:
                self.stop(late)
                error = error or late
            except Exception as failed:  # noqa: BLE001  # the record was not acknowledged, for whatever reason
                error = error or failed
            else:
                acknowledged.append(row_id)
        return Fate(acknowledged, refused, error)

    def _failed(self, row_id: int, error: Exception) -> None:
        """Called in the producer's thread at the failure, before it sends anything else."""
        if self.stopped_by is None:
            self._culprit = row_id
        self.stop(error)

    def stop(self, error: Exception | None = None) -> None:
        """Send nothing more, and fail every pending future. May be called from any thread, the producer's included."""
        self.stopped_by = self.stopped_by or error or IllegalStateError("closed")
        # close(0) would first wait for pending batches, and raise because there are some: only the sender can be stopped.
        self._producer._sender.force_close()  # noqa: SLF001

    def close(self) -> None:
        """Stop, and wait until the producer's thread has ended."""
        self.stop()
        self._producer._sender.join(CLOSE_TIMEOUT_S)  # noqa: SLF001
        with suppress(KafkaError):
            self._producer.close(0)
