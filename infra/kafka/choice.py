"""Which broker: the one that runs already, a container, or Apache Kafka's jars. In this order, and nothing else."""

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
    """A broker of our own, not started: ours to stop and to kill. Raises NoKafkaError, which says what is missing.

    An image is not pulled where the jars are in the cache already.
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
    """The address of a broker that answers: the running one of BOXOFFICE_KAFKA, else one of our own while we need it."""
    if running := os.environ.get(RUNNING):
        yield running
        return
    with own_broker() as broker:
        yield broker.bootstrap
