"""How far the trigger is behind: records on Kafka that no door has accepted yet."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from shared_lib.settings import Settings
from shared_lib.workers.kafka_client import opened
from shared_lib.workers.topics import PARTITIONS

TIMEOUT_MS: Final = 5_000


class Bus:
    """Kafka clients, created on first use and again after every error."""

    def __init__(self, own: Settings) -> None:
        self._bootstrap, self._group = list(own.kafka_bootstrap), own.trigger_group
        self._parts = [
            TopicPartition(topic, number) for topic in own.trigger_topics for number in range(PARTITIONS)
        ]
        self._clients: tuple[Any, Any] | None = None

    async def behind(self) -> int:
        """How many records the trigger's group has not committed. Raises KafkaError when the broker does not answer."""
        return await asyncio.to_thread(self._behind)

    def _behind(self) -> int:
        try:
            if self._clients is None:
                config = {"bootstrap_servers": self._bootstrap, "request_timeout_ms": TIMEOUT_MS}
                self._clients = opened(KafkaConsumer, **config), opened(KafkaAdminClient, **config)
            consumer, admin = self._clients
            ends = consumer.end_offsets(self._parts, timeout_ms=TIMEOUT_MS)
            done = admin.list_group_offsets(self._group)[self._group]
        except (KafkaError, KeyError, OSError) as error:
            self.close()
            raise KafkaError(str(error)) from error
        return sum(end - max(done[part].offset if part in done else 0, 0) for part, end in ends.items())

    def close(self) -> None:
        clients, self._clients = self._clients, None
        for client in clients or ():
            with suppress(Exception):  # the client is discarded in any case
                client.close()
