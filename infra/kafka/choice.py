"""Which broker: the running one of BOXOFFICE_KAFKA, else a container, else Apache Kafka's jars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from infra.kafka.broker import EmbeddedKafka
from infra.kafka.container import ContainerKafka, docker_answers, image_is_here, pull
from infra.kafka.jars import NoKafkaError, cache_folder, classpath, java

RUNNING: Final = "BOXOFFICE_KAFKA"

OwnKafka = EmbeddedKafka | ContainerKafka


def own_broker(*, port: int | None = None) -> OwnKafka:
    """A new broker, not started, which the caller may stop and kill. Raises NoKafkaError, which says what is missing.

    The image is not pulled when the jars are already in the cache.
    """
    if docker_answers() and (image_is_here() or (not cache_folder().is_dir() and pull())):
        return ContainerKafka(port=port)
    try:
        java()
        classpath()
    except NoKafkaError as error:
        raise NoKafkaError(f"no {RUNNING}, no container of Kafka, and of the jars: {error}") from None
    return EmbeddedKafka(port=port)


@contextmanager
def bootstrap() -> Iterator[str]:
    """The address of a broker that answers: the running one of BOXOFFICE_KAFKA, else a new one that ends with the block."""
    if running := os.environ.get(RUNNING):
        yield running
        return
    with own_broker() as broker:
        yield broker.bootstrap
