"""The topic of dead letters for the command line: list what waits there, and send it again. Blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from shared_lib.contract.events import DEAD_LETTERS
from shared_lib.workers.kafka_client import servers
from shared_lib.workers.trigger.envelope import Record
from shared_lib.workers.trigger.letters import (
    DISMISSED,
    REPLAYED,
    Letter,
    content,
    original_headers,
    read_letter,
)

ANSWER_S: Final = 10.0


def waiting(bootstrap: Sequence[str], topic: str = DEAD_LETTERS) -> list[Letter]:
    """Letters that were not sent again, oldest first, each origin once. Raises KafkaError."""
    replayed, letters = set(), []
    with _reading(bootstrap) as consumer:
        for found in _all(consumer, TopicPartition(topic, 0)):
            if isinstance(found, Letter):
                letters.append(found)
            else:
                replayed.add(found)
    # A letter whose write was not acknowledged may exist twice; one mark covers all letters of its origin.
    done = {letter.origin for letter in letters if letter.offset in replayed}
    first = {letter.origin: letter for letter in reversed(letters)}
    return sorted((one for origin, one in first.items() if origin not in done), key=lambda one: one.offset)


def replay(bootstrap: Sequence[str], letters: Sequence[Letter], topic: str = DEAD_LETTERS) -> None:
    """Produce the original records to their topics again, then mark the letters as replayed. Raises KafkaError.

    A crash in between sends a letter twice; its event keeps its id, and the consumer drops the duplicate.
    """
    producer = KafkaProducer(
        **servers(bootstrap),
        client_id="boxoffice-cli",
        bootstrap_timeout_ms=int(ANSWER_S * 1000),
    )
    try:
        for letter in letters:
            record = letter.record._replace(key=letter.key)
            again = original_headers(record.headers)
            producer.send(letter.topic, key=record.key, value=content(record), headers=again).get(ANSWER_S)
            mark = [(REPLAYED, str(letter.offset).encode())]
            producer.send(topic, value=b"", headers=mark, partition=0).get(ANSWER_S)
    finally:
        producer.close(timeout=1)


def dismiss(bootstrap: Sequence[str], letter: Letter, because: str, topic: str = DEAD_LETTERS) -> None:
    """Mark the letter as done without sending it again; the mark says why. Raises KafkaError."""
    producer = KafkaProducer(
        **servers(bootstrap),
        client_id="boxoffice-cli",
        bootstrap_timeout_ms=int(ANSWER_S * 1000),
    )
    try:
        mark = [(REPLAYED, str(letter.offset).encode()), (DISMISSED, because.encode())]
        producer.send(topic, value=b"", headers=mark, partition=0).get(ANSWER_S)
    finally:
        producer.close(timeout=1)


@contextmanager
def _reading(bootstrap: Sequence[str]) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(
        **servers(bootstrap),
        client_id="boxoffice-cli",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=int(ANSWER_S * 1000),
    )
    try:
        yield consumer
    finally:
        consumer.close(autocommit=False)


def _all(consumer: KafkaConsumer, place: TopicPartition) -> Iterator[Letter | int]:
    consumer.assign([place])
    end = consumer.end_offsets([place])[place]
    while consumer.position(place) < end:
        yield from map(_read, consumer.poll(timeout_ms=1000).get(place, []))


def _read(each: Any) -> Letter | int:
    return read_letter(
        Record(each.topic, each.partition, each.offset, each.timestamp, each.key, each.value, each.headers)
    )
