"""The cinema as a producer on Kafka: it reports that a customer started to watch."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from datetime import datetime
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from shared_lib.contract.events import PLAYBACK, PLAYBACK_STARTED
from shared_lib.events.incoming import kafka_record

SEND_TIMEOUT_S: Final = 20.0
AGAIN_S: Final = 1.0


class Cinema:
    """A producer, created on first use. Each send waits for the broker's acknowledgement."""

    def __init__(self, bootstrap: tuple[str, ...]) -> None:
        self._bootstrap = list(bootstrap)
        self._producer: Any = None
        self._making = threading.Lock()

    async def send_started(self, customer_id: str, product_id: str, started_at: datetime) -> None:
        """Retry until the broker has the event. A duplicate is harmless: the door drops events it has seen."""
        instant = started_at.isoformat()
        record = kafka_record(
            event_id=f"evt_{uuid.uuid4().hex}",
            kind=PLAYBACK_STARTED,
            subject=customer_id,
            partition_key=customer_id,
            time_=instant,
            data=json.dumps({"customer_id": customer_id, "product_id": product_id, "started_at": instant}),
        )
        while True:
            try:
                return await asyncio.to_thread(self._send, record._asdict())
            except KafkaError:
                await asyncio.sleep(AGAIN_S)

    def _send(self, record: dict[str, Any]) -> None:
        with self._making:
            if self._producer is None:
                self._producer = KafkaProducer(
                    bootstrap_servers=self._bootstrap, acks="all", max_block_ms=int(SEND_TIMEOUT_S * 1000)
                )
        self._producer.send(PLAYBACK, **record).get(timeout=SEND_TIMEOUT_S)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)
