"""kafka-python alone: the same records, built beforehand, sent and acknowledged. Prints records per second as JSON."""

from __future__ import annotations

import json
import sys
import time

from kafka import KafkaProducer

from benchmarks.outbox_rows import TOPIC, rows
from shared_lib.events.incoming import kafka_record


def main(bootstrap: str, count: int) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", batch_size=64 * 1024, metrics_enabled=False
    )
    producer.partitions_for(TOPIC)
    records = [
        kafka_record(
            event_id=row.event_id,
            kind=row.type,
            subject=row.subject,
            partition_key=row.partition_key,
            time_="2026-01-01T00:00:00Z",
            data=row.data,
            sequence=row.sequence,
            traceparent=row.traceparent,
        )
        for row in rows(count)
    ]
    producer.send(TOPIC, value=b"{}", key=b"first").get(30)
    began, used_s = time.perf_counter(), time.process_time()
    sent = [producer.send(TOPIC, value=value, key=key, headers=headers) for key, value, headers in records]
    for one in sent:
        one.get(60)
    took_s = time.perf_counter() - began
    print(json.dumps({"per_s": count / took_s, "cpu_us": 1e6 * (time.process_time() - used_s) / count}))
    producer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
