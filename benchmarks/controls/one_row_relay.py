"""The relay that most people write, and write well: one row at a time, locked, sent, acknowledged, deleted, committed.

Order is kept only as long as one of it runs; several would need what ours has.
"""

from __future__ import annotations

import sys

import psycopg
from kafka import KafkaProducer

from shared_lib.billing.facts import instant
from shared_lib.events.incoming import kafka_record

TAKE = """
    SELECT id, event_id, topic, type, subject, sequence, partition_key, data::text, traceparent, created_at
    FROM outbox WHERE available_at <= now() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""


def main(database_url: str, bootstrap: str) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", metrics_enabled=False)
    with psycopg.connect(database_url, prepare_threshold=1, application_name="one-row") as db:
        while True:
            row = db.execute(TAKE, binary=True).fetchone()
            if row is None:
                db.commit()
                db.execute("SELECT pg_sleep(0.005)")
                continue
            row_id, event_id, topic, kind, subject, sequence, key, data, traceparent, created_at = row
            record = kafka_record(
                event_id=event_id,
                kind=kind,
                subject=subject,
                partition_key=key,
                time_=instant(created_at) or "",
                data=data,
                sequence=sequence,
                traceparent=traceparent,
            )
            producer.send(topic, value=record.value, key=record.key, headers=record.headers).get(30)
            db.execute("DELETE FROM outbox WHERE id = %s", [row_id])
            db.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
