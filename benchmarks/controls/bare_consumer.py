"""kafka-python alone: poll and count. Prints records per second and processor time of each as JSON."""

from __future__ import annotations

import json
import sys
import time

from kafka import KafkaConsumer


def main(bootstrap: str, topic: str, group: str, count: int) -> None:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    found = 0
    while not found:
        found = sum(map(len, consumer.poll(timeout_ms=500).values()))
    first, began, used_s = found, time.perf_counter(), time.process_time()
    while found < count:
        found += sum(map(len, consumer.poll(timeout_ms=500).values()))
    took_s, used_s = time.perf_counter() - began, time.process_time() - used_s
    counted = max(1, count - first)  # the first batch came with the start
    print(json.dumps({"per_s": counted / took_s, "cpu_us": 1e6 * used_s / counted}))
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
