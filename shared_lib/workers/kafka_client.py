"""Kafka clients that close what they opened when they cannot connect.

kafka-python opens sockets and a thread in its constructors and leaks them when the broker does not answer: a worker that
waits for a broker through a long outage would run out of file descriptors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka.net.compat import KafkaNetClient

from shared_lib.settings import KafkaAccess

Client = TypeVar("Client")


def servers(bootstrap: Sequence[str]) -> dict[str, Any]:
    """Addresses and credentials for every Kafka client of ours: BOXOFFICE_KAFKA_*, read only here.

    Raises ValidationError when the settings contradict each other.
    """
    own = KafkaAccess()
    config: dict[str, Any] = {
        "bootstrap_servers": list(bootstrap),
        "security_protocol": own.kafka_security,
    }
    if own.kafka_security.endswith("SSL"):
        config |= {"ssl_cafile": own.kafka_ca_file, "ssl_check_hostname": True}
    if own.kafka_security.startswith("SASL"):
        config |= {
            "sasl_mechanism": own.kafka_sasl_mechanism,
            "sasl_plain_username": own.kafka_username,
            "sasl_plain_password": own.kafka_password.get_secret_value(),
        }
    return config


def opened(make: Callable[..., Client], **config: Any) -> Client:
    """`make(**config)`: a KafkaProducer, KafkaConsumer or KafkaAdminClient. Closes what a failed constructor had opened."""
    made: list[Any] = []

    def client(**more: Any) -> Any:
        made.append(KafkaNetClient(**more))
        return made[-1]

    try:
        return make(kafka_client=client, **config)
    except BaseException:
        for one in made:
            with suppress(Exception):  # the first error is the one to report
                one.close()
        raise
