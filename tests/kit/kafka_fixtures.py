"""One real broker per session, and one that a test may stop and kill. A plugin of tests/conftest.py."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # tests that need no broker do not pay for its imports
    from infra.kafka.choice import OwnKafka

NewTopic = Callable[..., str]


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of a broker with every topic of ours. In CI a missing one is a failure (conftest.py)."""
    from infra.kafka.choice import bootstrap  # noqa: PLC0415
    from infra.kafka.jars import NoKafkaError  # noqa: PLC0415
    from shared_lib.workers import topics  # noqa: PLC0415

    try:
        running = bootstrap()
        address = running.__enter__()
    except NoKafkaError as missing:
        pytest.skip(str(missing))
    try:
        topics.create([address])
        yield address
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def _mortal_broker() -> Iterator[OwnKafka]:
    from infra.kafka.choice import own_broker  # noqa: PLC0415
    from infra.kafka.jars import NoKafkaError  # noqa: PLC0415

    try:
        broker = own_broker()
    except NoKafkaError as missing:
        pytest.skip(str(missing))
    yield broker
    broker.close()


@pytest.fixture
def own_kafka(_mortal_broker: OwnKafka) -> OwnKafka:
    """A broker that only such tests use, to stop(), kill() and start(). One that an earlier test stopped runs again."""
    return _mortal_broker.start()


@pytest.fixture
def new_topic(kafka: str) -> NewTopic:
    """A maker of topics that no other test writes to: `new_topic("events", partitions=12)` gives its name."""
    from shared_lib.workers import topics  # noqa: PLC0415

    def make(name: str = "events", partitions: int = topics.PARTITIONS, bootstrap: str = kafka) -> str:
        fresh = topics.Topic(name=f"test-{uuid.uuid4().hex[:8]}.{name}", partitions=partitions)
        topics.create([bootstrap], [fresh])
        return fresh.name

    return make
