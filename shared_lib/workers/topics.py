"""Kafka's topics: names, partitions, retention. Creating them again changes nothing.

    python -m shared_lib.workers.topics

The number of partitions must stay twelve: with another number, a customer's next event would go to another partition.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from shared_lib import log as logs
from shared_lib.billing.events import FACTS, JOBS
from shared_lib.contract.events import DEAD_LETTERS, PLAYBACK
from shared_lib.domain.values import Value, field
from shared_lib.settings import settings_of
from shared_lib.visible import say
from shared_lib.workers.kafka_client import opened, servers

PARTITIONS: Final = 12
DAY_MS: Final = 24 * 60 * 60 * 1000
BROKER_TIMEOUT_S: Final = 60.0
ATTEMPT_TIMEOUT_S: Final = 5.0

log = structlog.get_logger("boxoffice")


class Topic(Value, kw_only=True):
    name: str
    partitions: int = PARTITIONS
    configs: Mapping[str, str] = field(default_factory=dict)


# A consumer that was away for a week finds everything. PostgreSQL is the record; Kafka is no archive.
KEPT: Final = {"retention.ms": str(14 * DAY_MS), "cleanup.policy": "delete"}
TOPICS: Final = (
    Topic(name=FACTS, configs=KEPT),
    Topic(name=JOBS, configs=KEPT),
    Topic(name=PLAYBACK, configs=KEPT),
    # One partition: a person reads it in the order in which events failed. Kept without limit.
    Topic(name=DEAD_LETTERS, partitions=1, configs={"retention.ms": "-1", "cleanup.policy": "delete"}),
)


def create(
    bootstrap: Sequence[str],
    wanted: Sequence[Topic] = TOPICS,
    *,
    timeout_s: float = BROKER_TIMEOUT_S,
    replicas: int = -1,
) -> list[str]:
    """Create the topics that do not exist yet and return their names. Waits for the broker at most `timeout_s`.

    `replicas` -1: the broker's default.replication.factor. Raises KafkaError when no broker answers in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _create_once(bootstrap, wanted, replicas, deadline - time.monotonic())
        except (KafkaError, OSError) as error:
            if time.monotonic() > deadline or not _is_transient(error):
                raise
            log.info("broker_awaited", error=type(error).__name__)
            time.sleep(0.5)


def _is_transient(error: Exception) -> bool:
    return bool(getattr(error, "retriable", True))


def _create_once(
    bootstrap: Sequence[str], wanted: Sequence[Topic], replicas: int, left_s: float
) -> list[str]:
    admin = opened(
        KafkaAdminClient,
        **servers(bootstrap),
        client_id="boxoffice-topics",
        bootstrap_timeout_ms=round(1000 * max(0.1, min(left_s, ATTEMPT_TIMEOUT_S))),
        request_timeout_ms=round(1000 * ATTEMPT_TIMEOUT_S),
    )
    try:
        there = set(admin.list_topics())
        return [topic.name for topic in wanted if topic.name not in there and _add(admin, topic, replicas)]
    finally:
        admin.close()


def _add(admin: KafkaAdminClient, topic: Topic, replicas: int) -> bool:
    options = {
        "num_partitions": topic.partitions,
        "replication_factor": replicas,
        "configs": dict(topic.configs),
    }
    try:
        admin.create_topics({topic.name: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:  # another process was faster
        return False
    return True


def main() -> int:
    """Compose's topic job: 0 when every topic exists."""
    logs.configure(function="topics")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    own = settings_of("topics")
    if not own.kafka_bootstrap:
        say("BOXOFFICE_KAFKA_BOOTSTRAP is not set: there is no Kafka to create topics in.", sys.stderr)
        return 2
    try:
        log.info("topics", created=create(own.kafka_bootstrap), wanted=[topic.name for topic in TOPICS])
    except KafkaError as error:
        log.error("topics_not_created", error=repr(error))  # noqa: TRY400  # the traceback is the client library's
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
