"""Clients of Kafka that clean up behind themselves.

kafka-python opens sockets and a thread in its constructors and forgets them when the broker does not answer: a worker that
waits for a broker through a long outage would run out of files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from kafka.net.compat import KafkaNetClient

Client = TypeVar("Client")


def opened(make: Callable[..., Client], **config: Any) -> Client:
    """`make(**config)`: a KafkaProducer, KafkaConsumer or KafkaAdminClient. What a failed one had opened is closed."""
    made: list[Any] = []

    def client(**more: Any) -> Any:
        made.append(KafkaNetClient(**more))
        return made[-1]

    try:
        return make(kafka_client=client, **config)
    except BaseException:
        for one in made:
            with suppress(Exception):  # whatever it says, the first error is the one to hear
                one.close()
        raise
