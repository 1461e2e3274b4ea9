"""Clients of Kafka that clean up behind themselves.

kafka-python opens sockets and a thread in its constructors and forgets them when the broker does not answer: a worker that
waits for a broker through a long outage would run out of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka.net.compat import KafkaNetClient

from shared_lib.settings import KafkaAccess

Client = TypeVar("Client")


def servers(bootstrap: Sequence[str]) -> dict[str, Any]:
    """Where every client of ours finds the brokers, and how it proves itself there: BOXOFFICE_KAFKA_*, read here alone.

    Raises ValidationError where they do not fit together.
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
    """`make(**config)`: a KafkaProducer, KafkaConsumer or KafkaAdminClient. What a failed one had opened is closed."""
    made: list[Any] = []

    def client(**more: Any) -> Any:
        made.append(KafkaNetClient(**more))
        return made[-1]

    try:
        return make(kafka_client=client, **config)
    except BaseException:
        for one in made:
            with suppress(Exception):  # whatever it says, the first error is the one to hear
                one.close()
        raise
