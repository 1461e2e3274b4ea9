"""Whether a broker answers."""

from __future__ import annotations

import logging

from infra.servers.ports import wait_for_tcp

PROBE_TIMEOUT_MS = 2000


def answers(bootstrap: str) -> bool:
    """Whether the broker at `bootstrap` describes its cluster. An open port is not enough: it opens before the broker serves."""
    from kafka import KafkaAdminClient  # noqa: PLC0415  # costly to import, and only needed with a broker
    from kafka.errors import KafkaError  # noqa: PLC0415

    from shared_lib.workers.kafka_client import opened  # noqa: PLC0415

    host, _, port = bootstrap.split(",", maxsplit=1)[0].rpartition(":")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        wait_for_tcp(int(port), host=host, timeout_s=0.0)
        admin = opened(KafkaAdminClient, bootstrap_servers=bootstrap, bootstrap_timeout_ms=PROBE_TIMEOUT_MS)
        try:
            return bool(admin.describe_cluster()["brokers"])
        finally:
            admin.close()
    except (KafkaError, RuntimeError, OSError):
        return False
